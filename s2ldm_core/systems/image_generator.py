"""The generator of an adversarial system: which network, how large, and whether it draws the change or the image."""

from functools import partial
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from s2ldm_core.networks.instance import InstanceUNet, ResNetGenerator


class GeneratorConfig(BaseModel):
    """Kind and size of a generator."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["unet", "resnet"] = "unet"
    """Pix2pix's residual U-Net, or CycleGAN's ResNet."""
    channels: tuple[int, ...] = Field((32, 64, 128, 256), min_length=1)
    """Width of each level, the first at full resolution."""
    in_plane: int = Field(2, ge=0)
    """How many reductions, the first ones, leave the slices apart: slices are thicker than pixels."""
    blocks: int = Field(1, ge=1)
    """Residual blocks of each level and side of a U-Net; between the reductions and their reverse of a ResNet."""
    draws: Literal["change", "image"] = "change"
    """``change``: added to the source, without bounds, 0 at the start. ``image``: the image itself through a tanh, as the papers have it:
    nothing above the window can be drawn then, such as an arterial aorta in [-200, 200] HU."""


RESNET = GeneratorConfig(kind="resnet", channels=(32, 64, 128), in_plane=1, blocks=6)
"""CycleGAN's generator with the half of its channels and 6 of its 6 or 9 blocks, as 3-D needs."""


class Generator(nn.Module):
    """Source ``(B, 1, D, H, W)`` in window units and phase ``(B,)`` → change, fp32; sizes are multiples of `multiple_of`."""

    def __init__(self, config: GeneratorConfig, *, phases: int) -> None:
        super().__init__()
        self._image = config.draws == "image"
        build = InstanceUNet if config.kind == "unet" else partial(ResNetGenerator, zero=not self._image)
        self.network = build(channels=config.channels, in_plane=config.in_plane, blocks=config.blocks, phases=phases)
        self.multiple_of = self.network.multiple_of

    def forward(
        self, source: Tensor, phase: Tensor, *, dropped: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """``dropped``: share of the values that a U-Net leaves out on its way up, drawn from ``generator``."""
        if isinstance(self.network, InstanceUNet):
            drawn = self.network(source, phase, dropped=dropped, generator=generator)
        else:
            drawn = self.network(source, phase)
        return torch.tanh(drawn) - source.float() if self._image else drawn
