"""A residual U-Net, with L1 or with the losses of S2LDM's last stage: what every latent model is held against.

The same encoder, core and decoder as S2LDM (so the same size), with the latent bottleneck and the diffusion taken out: the core sees the
encoder's features and its output goes straight to the decoder.
"""

import torch
from pydantic import Field
from torch import Tensor

from s2ldm_core.networks.autoencoder import FACTOR, Decoder, Encoder
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.systems.base import AT_ONCE, How, Player, Stage, System, SystemConfig, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import ChangeLossConfig, error_of_change
from s2ldm_core.systems.latent_grid import decoded, encoded, through_core
from s2ldm_core.tiling import pad_to_multiple


class ResidualUNetConfig(SystemConfig):
    """Sizes of the U-Net; see `s2ldm_core.systems.s2ldm.S2LDMConfig` for the same names."""

    channels: tuple[int, int] = (32, 64)
    blocks: tuple[int, int] = (1, 2)
    core_channels: tuple[int, ...] = (64, 96, 128)
    core_blocks: int = 1
    latent: int = 16
    detail_window: tuple[float, float] | None = (-0.6, -0.03)
    loss: ChangeLossConfig | None = None
    """``None``: L1. Else the terms of S2LDM's last stage, so that systems are compared and not losses."""
    gradient: float = Field(0.0, ge=0)
    """Weight of the error of the first differences beside ``loss``."""


class ResidualUNet(System):
    """x_n → change; one stage, ``regression``."""

    name = "unet"
    Config = ResidualUNetConfig
    stages = (Stage(name="regression"),)
    config: ResidualUNetConfig

    def __init__(self, config: ResidualUNetConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(
            channels=config.channels, blocks=config.blocks, latent=config.latent, detail_window=config.detail_window
        )
        self.core = Denoiser(
            in_channels=config.latent + config.channels[1],
            out_channels=config.latent,
            channels=config.core_channels,
            blocks=config.core_blocks,
            phases=len(config.phases),
            time=False,
        )
        self.decoder = Decoder(channels=config.channels, blocks=config.blocks, latent=config.latent)
        z, y, x = (f * s for f, s in zip(FACTOR, self.core.stride, strict=True))
        self.traits = Traits(multiple_of=(z, y, x), tiling="exact")

    def players(self, stage: str) -> tuple[Player, ...]:
        return (Player(name="unet", parameters=self.parameters()),)

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        change = self._change(batch.source, batch.condition, AT_ONCE)
        return error_of_change(change, batch, self.config.loss, gradient=self.config.gradient)

    def predict_change(self, source: Tensor, condition: Condition, how: How = AT_ONCE) -> Tensor:
        x, undo = pad_to_multiple(source, self.traits.multiple_of)
        return self._change(x, condition, how)[(..., *undo)]

    def _change(self, source: Tensor, condition: Condition, how: How) -> Tensor:
        z, features = encoded(self.encoder, self.encoder, source, how=how)
        core = through_core(
            self.core,
            lambda part: self.core(part, t=None, phase=condition.phase),
            [torch.cat([z, features.latent], dim=1)],
            how=how,
            step="step 1",
        )
        return decoded(self.decoder, core, features, how=how)
