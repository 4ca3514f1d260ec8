"""CDM: cross-conditioned diffusion (Xing et al., MICCAI 2024, arXiv 2409.08500): diffusion on what an image is like, not on its voxels.

``representation`` (MRM) trains a masked autoencoder on enhanced images, whose encoder FE sums up a crop in one vector y. ``diffusion``
(MDN) trains an MLP to denoise y, conditioned on the phase and the source. ``translation`` (C-UNet) trains a residual U-Net on the source
that is modulated by y and the phase. So a translation needs one pass in pixel space, whatever the number of steps.

No code is public, and the paper leaves open what is filled in here: L1 for the synthesis; sizes; that MDN sees the source's
representation, without which y is a draw from all patients of the phase; that the U-Net is trained with drawn y (``taught_with``), since
with true ones it leans on what the target gave away.
"""

import math
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from s2ldm_core.networks.folded import FoldedDenoiser
from s2ldm_core.networks.masked_autoencoder import MaskedAutoencoder, PatchEncoder
from s2ldm_core.networks.representation_denoiser import RepresentationDenoiser
from s2ldm_core.noise_schedule import NoiseSchedule
from s2ldm_core.systems.base import How, Player, Stage, System, SystemConfig, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import ChangeLossConfig, change_loss
from s2ldm_core.tiling import Triple

_EMBEDDING = 128


class CDMConfig(SystemConfig):
    """Sizes of the three networks."""

    region: Triple = (16, 96, 96)
    """Voxels that one y stands for: the crop of the training, and of tiles in translation."""
    patch: Triple = (4, 16, 16)
    width: int = Field(256, ge=12)
    """Of a token and of y."""
    layers: int = 4
    heads: int = 4
    decoder_layers: int = 2
    masked: float = Field(0.75, gt=0, lt=1)
    mdn_width: int = 1024
    mdn_blocks: int = 6
    steps: int = Field(20, ge=2)
    """DDIM, on y."""
    channels: tuple[int, ...] = (64, 96, 128)
    blocks: int = 1
    detail_window: tuple[float, float] | None = (-0.6, -0.03)
    taught_with: Literal["drawn", "noised", "true"] = "drawn"
    """The y that the U-Net learns with: MDN's draws; true ones and noise of standard deviation ``noise``; true ones."""
    noise: float = Field(0.5, ge=0)
    loss: ChangeLossConfig = ChangeLossConfig()
    """Of the U-Net; default: L1."""

    @model_validator(mode="after")
    def _fits(self) -> "CDMConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if any(n % p for n, p in zip(self.region, self.patch, strict=True)):
            raise ValueError("region must be a multiple of patch")
        return self


class CDM(System):
    """One step of a translation is the mean y, without noise; more draw it."""

    name = "cdm"
    Config = CDMConfig
    training_only = ("mrm",)
    stages = (Stage(name="representation", data="target"), Stage(name="diffusion"), Stage(name="translation"))
    config: CDMConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: CDMConfig) -> None:
        super().__init__(config)
        phases = len(config.phases)
        self.schedule = NoiseSchedule("linear")
        self.source_encoder = PatchEncoder(
            patch=config.patch, width=config.width, layers=config.layers, heads=config.heads
        )
        self.mdn = RepresentationDenoiser(
            size=config.width, width=config.mdn_width, blocks=config.mdn_blocks, phases=phases, embedding=_EMBEDDING
        )
        self.unet = FoldedDenoiser(
            images=0,
            channels=config.channels,
            blocks=config.blocks,
            phases=phases,
            detail_window=config.detail_window,
            time=False,
            embedding=_EMBEDDING,
        )
        self.condition = nn.Sequential(
            nn.Linear(config.width, _EMBEDDING), nn.SiLU(), nn.Linear(_EMBEDDING, _EMBEDDING)
        )
        self.register_buffer("mean", torch.zeros(config.width))
        self.register_buffer("std", torch.ones(config.width))
        z, y, x = map(math.lcm, self.unet.multiple_of, config.patch)
        self.traits = Traits(multiple_of=(z, y, x), tiling="blend", samples=True, steps=config.steps)
        self.mrm = MaskedAutoencoder(
            patch=config.patch,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            decoder_layers=config.decoder_layers,
            masked=config.masked,
        )

    def players(self, stage: str) -> tuple[Player, ...]:
        parts = {
            "representation": (self.mrm,),
            "diffusion": (self.source_encoder, self.mdn),
            "translation": (self.unet, self.condition),
        }[stage]
        return (Player(name=stage, parameters=[p for part in parts for p in part.parameters()]),)

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        if stage == "representation":
            loss = self.mrm.loss(batch.target.clamp(-1, 1), valid=batch.valid, generator=turn.generator)
            return loss, {"masked": loss.detach()}
        if stage == "diffusion":
            y_0 = self._representation(batch)
            k = torch.randint(self.schedule.steps, (len(y_0),), generator=turn.generator).to(y_0.device)
            noise = torch.randn(y_0.shape, generator=turn.generator).to(y_0.device)
            answer = self._denoised(
                self.schedule.noised(y_0, noise, k),
                k,
                batch.condition.phase,
                self.seen(batch.source),
            )
            loss = F.mse_loss(answer, y_0)
            return loss, {"diffusion": loss.detach()}
        change = self._change(batch.source, batch.condition.phase, self._taught_with(batch, turn.generator))
        total, parts = change_loss(batch.source + change, batch, self.config.loss)
        return total, {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def _representation(self, batch: Batch) -> Tensor:
        """y_0 of the targets, normalised."""
        return (self.mrm.encoder.represent(batch.target.clamp(-1, 1)) - self.mean) / self.std

    @torch.no_grad()
    def _taught_with(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        cfg = self.config
        if cfg.taught_with == "drawn":
            return self.drawn(batch.source, batch.condition.phase, steps=cfg.steps, generator=generator)
        y = self._representation(batch)
        if cfg.taught_with == "noised":
            y = y + cfg.noise * torch.randn(y.shape, generator=generator).to(y.device)
        return y

    def seen(self, source: Tensor) -> Tensor:
        """What a source of the size of a region is like, ``(B, width)``: normalised as y is, since sources differ by little."""
        return (self.source_encoder.represent(source) - self.mean) / self.std

    def drawn(self, source: Tensor, phase: Tensor, *, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """y of MDN for a source of the size of a region, ``(B, width)``, normalised."""
        seen = self.seen(source)
        noise = torch.zeros_like(seen)
        if steps > 1:
            noise = torch.randn(seen.shape, generator=generator).to(seen.device)
        return self.schedule.ddim(lambda y, k: self._denoised(y, k, phase, seen), noise, target="x0", steps=steps)

    def _denoised(self, y: Tensor, k: Tensor, phase: Tensor, seen: Tensor) -> Tensor:
        return self.mdn(y, t=self.schedule.time(k), phase=phase, source=seen)

    def _change(self, source: Tensor, phase: Tensor, y: Tensor) -> Tensor:
        return self.unet(source, t=None, phase=phase, extra=self.condition(y).float())

    @torch.no_grad()
    def end_stage(self, stage: str, batches: Iterable[Batch]) -> None:
        """After the representation: fix its mean and standard deviation; the source's encoder starts from FE."""
        if stage != "representation":
            return
        self.source_encoder.load_state_dict(self.mrm.encoder.state_dict())
        found = torch.cat([self.mrm.encoder.represent(batch.target.clamp(-1, 1)) for batch in batches])
        self.mean.copy_(found.mean(0))
        self.std.copy_(found.std(0, correction=0).clamp_min(1e-3))

    def view(self, stage: str, batch: Batch, how: How) -> Tensor | None:
        return super().view(stage, batch, how) if stage == "translation" else None

    def tile(self, whole: Triple, how: How) -> Triple:
        """A region whatever ``how.tile``: a y stands for as much as in training."""
        return self.config.region

    def change(self, source: Tensor, condition: Condition, how: How) -> Tensor:
        steps = self.traits.steps if how.steps is None else how.steps
        y = self.drawn(source, condition.phase, steps=steps, generator=how.generator)
        return self._change(source, condition.phase, y)
