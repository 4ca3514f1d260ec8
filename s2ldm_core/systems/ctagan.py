"""CTA-GAN in 3-D (Lyu et al., Radiology 2023): RegGAN with a second look at the middle and at what is bright.

Two stages. ``whole`` is RegGAN's. ``region`` goes on with the generator and the registration, and adds an L1 (weight 2) inside what is
bright in the target (above 0.3 in the window of width 400 and level 50 HU mapped to [-1, 1], that is above 110 HU: vessels and bone), and a
second discriminator of the middle of the plane, cropped to half its size. Weights 1, 20, 10, 1.8 and 0.2 are the paper's. The images are in
the full range of HU, which the configuration names because the region has a threshold in HU.

Where the released code (yml-bit/CTA-GAN) differs from the paper, switches reproduce it: ``misaligned_region`` (the image that becomes the
region and the target went through separate random affine draws), ``discriminator_decays: false`` (its schedule wrote to another key than
the discriminator's), ``scales: 1`` (its configuration had one discriminator, with the weights of two).
"""

import math
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from s2ldm_core.intensity import unit_to_window
from s2ldm_core.networks.warp import warped
from s2ldm_core.systems.base import Player, Stage, Turn
from s2ldm_core.systems.batch import Batch
from s2ldm_core.systems.reggan import Judge, RegGAN, RegGANConfig, l1

_WHOLE, _REGION = "whole", "region"
_BRIGHT_HU = 50.0 + 0.3 * 400.0 / 2
"""0.3 in the window 400/50 on [-1, 1]: 110 HU."""
_DEGREES, _SHIFT, _SCALE = 1.0, 0.02, 0.02
"""The released code's random affine: ± of rotation, of the side by which it moves, of size."""


class CTAGANConfig(RegGANConfig):
    """RegGAN's, and what the second stage adds."""

    window_hu: tuple[float, float] = (-1024.0, 3071.0)
    """HU window that the images are in (``data.window_hu``)."""
    region: float = Field(2.0, ge=0)
    """Weight of the L1 inside bright voxels, beside the correction's 20."""
    bright_hu: float = _BRIGHT_HU
    """HU of the target above which a voxel is bright."""
    scales: Literal[1, 2] = 2
    """Discriminators of the second stage: of the whole, and of the middle."""
    scale_weights: tuple[float, float] = (1.8, 0.2)
    misaligned_region: bool = False
    """Released code: the region is turned, moved and scaled at random against the target it was taken from."""
    discriminator_decays: bool = True
    """False, as in the released code: the discriminators keep the stage's full rate."""


class CTAGAN(RegGAN):
    """Stages ``whole`` and ``region``, on pairs that need not be registered."""

    name = "ctagan"
    Config = CTAGANConfig
    training_only = (*RegGAN.training_only, "middle_discriminator")
    stages = (Stage(name=_WHOLE), Stage(name=_REGION))
    config: CTAGANConfig

    def __init__(self, config: CTAGANConfig) -> None:
        super().__init__(config)
        self.traits = replace(self.traits, window_hu=config.window_hu)
        self.middle_discriminator = config.discriminator.of_phases(len(config.phases))

    def begin_stage(self, stage: str) -> None:
        """Both discriminators of the second stage start anew, as in the released code."""
        if stage == _REGION:
            fresh = self.config.discriminator.of_phases(len(self.config.phases)).state_dict()
            self.discriminator.load_state_dict(fresh)

    def players(self, stage: str) -> tuple[Player, ...]:
        generator, judge = super().players(stage)
        own = [*judge.parameters]
        if len(self.judges(stage)) > 1:
            own += self.middle_discriminator.parameters()
        return generator, replace(judge, parameters=own, steady=not self.config.discriminator_decays)

    def judges(self, stage: str) -> tuple[tuple[float, Judge], ...]:
        if stage == _WHOLE:
            return super().judges(stage)
        whole, middle = self.config.scale_weights
        looks: tuple[tuple[float, Judge], ...] = ((whole, self.discriminator), (middle, self._middle_logits))
        return looks[: self.config.scales]

    def held(
        self, stage: str, moved: Tensor, batch: Batch, *, where: Tensor, turn: Turn
    ) -> dict[str, tuple[float, Tensor]]:
        terms = super().held(stage, moved, batch, where=where, turn=turn)
        if stage == _REGION:
            inside = self.bright(batch, turn.generator) & where
            terms["region"] = (self.config.region, l1(moved, batch, where=inside))
        return terms

    def bright(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """``(B, 1, D, H, W)`` bool: the region, in the target's place unless configured otherwise."""
        region = unit_to_window(batch.target, window_hu=self.config.window_hu) > self.config.bright_hu
        if not self.config.misaligned_region:
            return region
        displacement = random_affine(region.shape, generator).to(region.device)
        return warped(region.float(), displacement, nearest=True) > 0.5

    def _middle_logits(self, image: Tensor, phase: Tensor) -> Tensor:
        return self.middle_discriminator(middle(image), phase)


def middle(image: Tensor) -> Tensor:
    """The middle of the plane, half as many rows and columns."""
    rows, columns = image.shape[-2:]
    top, left = rows // 4, columns // 4
    return image[..., top : top + rows // 2, left : left + columns // 2]


def random_affine(shape: torch.Size, generator: torch.Generator | None) -> Tensor:
    """Displacement ``(B, 3, D, H, W)`` in voxels of a small turn, move and scaling in the plane, drawn for each item."""
    items, _, depth, rows, columns = shape
    turn, move_rows, move_columns, scale = (2 * torch.rand((4, items), generator=generator) - 1).view(4, items, 1, 1)
    angle, size = math.radians(_DEGREES) * turn, 1 + _SCALE * scale
    y = (torch.arange(rows) - (rows - 1) / 2).view(1, rows, 1)
    x = (torch.arange(columns) - (columns - 1) / 2).view(1, 1, columns)
    down = size * (angle.cos() * y - angle.sin() * x) - y + _SHIFT * rows * move_rows
    right = size * (angle.sin() * y + angle.cos() * x) - x + _SHIFT * columns * move_columns
    return torch.stack([torch.zeros_like(down), down, right], dim=1)[:, :, None].expand(-1, -1, depth, -1, -1)
