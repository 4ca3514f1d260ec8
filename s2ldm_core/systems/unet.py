"""A residual U-Net trained with L1: the honest ceiling for PSNR that every latent model is held against.

The same encoder, core and decoder as S2LDM (so the same size), with the latent bottleneck and the diffusion taken out: the core sees the
encoder's features and its output goes straight to the decoder.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.autoencoder import FACTOR, Decoder, Encoder, Features
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.systems.base import (
    Adversary,
    PairBatch,
    Progress,
    System,
    SystemConfig,
    Triple,
    core_tile,
    run_on_tiles,
)
from s2ldm_core.tiling import pad_to_multiple, tiled


class ResidualUNetConfig(SystemConfig):
    """Sizes of the U-Net; see `s2ldm_core.systems.s2ldm.S2LDMConfig` for the same names."""

    channels: tuple[int, int] = (32, 64)
    blocks: tuple[int, int] = (1, 2)
    core_channels: tuple[int, ...] = (64, 96, 128)
    core_blocks: int = 1
    latent: int = 16
    detail_window: tuple[float, float] | None = (-0.6, -0.03)


class ResidualUNet(System):
    """x_n → change; one stage, ``regression``."""

    name = "unet"
    stages = ("regression",)
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
        self.factor = tuple(f * s for f, s in zip(FACTOR, self.core.stride, strict=True))  # type: ignore[assignment]

    def trainable(self, stage: str) -> Iterable[nn.Parameter]:
        return self.parameters()

    def loss(
        self,
        stage: str,
        batch: PairBatch,
        *,
        progress: float,
        generator: torch.Generator | None = None,
        adversary: Adversary | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        error = F.l1_loss(self._forward(batch.source, batch.phase), batch.change)
        return error, {"l1": error.detach()}

    def _forward(self, source: Tensor, phase: Tensor) -> Tensor:
        z, features = self.encoder(source)
        core = self.core(torch.cat([z, features.latent], dim=1), t=None, phase=phase)
        return self.decoder(core, features).float()

    def predict_change(
        self,
        source: Tensor,
        phase: Tensor,
        *,
        steps: int | None = None,
        generator: torch.Generator | None = None,
        tile: Triple | None = None,
        on_progress: Progress | None = None,
    ) -> Tensor:
        x, undo = pad_to_multiple(source, self.factor)
        if tile is None:
            return self._forward(x, phase)[(..., *undo)]
        one: Triple = (1, 1, 1)
        fine: Triple = (2, 2, 2)

        def encode(part: Tensor) -> tuple[Tensor, ...]:
            z, features = self.encoder(part)
            return z, features.stem, features.latent

        z, stem, latent = tiled(
            encode,
            [x],
            input_scales=[FACTOR],
            output_scales=[one, fine, one],
            halo=self.encoder.halo,
            tile=tile,
            on_tile=run_on_tiles(on_progress, "encode"),
        )
        (core,) = tiled(
            lambda part: (self.core(part, t=None, phase=phase),),
            [torch.cat([z, latent], dim=1)],
            input_scales=[one],
            output_scales=[one],
            halo=self.core.halo,
            tile=core_tile(tile),
            align=self.core.stride,
            on_tile=run_on_tiles(on_progress, "step 1"),
        )
        (change,) = tiled(
            lambda a, b, c: (self.decoder(a, Features(b, c)),),
            [core, stem, latent],
            input_scales=[one, fine, one],
            output_scales=[FACTOR],
            halo=self.decoder.halo,
            tile=tile,
            on_tile=run_on_tiles(on_progress, "decode"),
        )
        return change[(..., *undo)].float()
