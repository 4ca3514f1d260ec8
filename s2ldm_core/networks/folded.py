"""The denoising U-Net on whole images: voxels folded into channels, so that no wide convolution runs at full resolution."""

import math

import torch
from torch import Tensor, nn

from s2ldm_core.networks.autoencoder import FACTOR
from s2ldm_core.networks.blocks import Triple, depth_to_space, space_to_depth, with_detail
from s2ldm_core.networks.denoiser import Denoiser

_VOXELS = math.prod(FACTOR)


class FoldedDenoiser(nn.Module):
    """Images on the model grid → one image ``(B, 1, D, H, W)``, through a `Denoiser` on the grid that is `FACTOR` coarser.

    Sizes must be multiples of ``multiple_of``. ``images`` is how many it sees beside the source. ``detail_window`` (window units) adds the
    source in a narrower window, as in `s2ldm_core.networks.autoencoder.Encoder`. Starts as zero.
    """

    def __init__(
        self,
        *,
        images: int,
        channels: tuple[int, ...],
        blocks: int,
        phases: int,
        detail_window: tuple[float, float] | None,
        time: bool = True,
        embedding: int = 128,
    ) -> None:
        super().__init__()
        self.detail_window = detail_window
        seen = images + (1 if detail_window is None else 2)
        self.core = Denoiser(
            in_channels=seen * _VOXELS,
            out_channels=_VOXELS,
            channels=channels,
            blocks=blocks,
            phases=phases,
            time=time,
            embedding=embedding,
        )
        z, y, x = (f * s for f, s in zip(FACTOR, self.core.stride, strict=True))
        self.multiple_of: Triple = (z, y, x)

    def folded(self, source: Tensor, *images: Tensor) -> Tensor:
        """What the core takes, of images ``(B, 1, D, H, W)``."""
        return space_to_depth(with_detail(torch.cat([source, *images], dim=1), self.detail_window), FACTOR)

    def unfolded(self, x: Tensor) -> Tensor:
        """The image of what the core gives, fp32."""
        return depth_to_space(x, FACTOR).float()

    def forward(
        self, source: Tensor, *images: Tensor, t: Tensor | None, phase: Tensor, extra: Tensor | None = None
    ) -> Tensor:
        return self.unfolded(self.core(self.folded(source, *images), t=t, phase=phase, extra=extra))
