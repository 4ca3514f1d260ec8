"""How far an answer may be from the truth: a network that reads source and answer and predicts the standard deviation of the error.

It is trained on the errors that a finished model makes on cases which that model has not seen (`train.spread`), so it tells what the model
leaves open, whatever system the model is. The error is that of the enhancement: of a predicted change against the true one, without
either image's noise where the data tell it apart. The likelihood is the normal one (Nix & Weigend 1994; Kendall & Gal 2017, eq. 5).
"""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.tiling import Triple, pad_to_multiple, tiled

_STEM: Triple = (1, 2, 2)
"""Errors lie together over millimetres, so that rows and columns of the model's grid are taken in pairs."""
_START: Final = -3.0
_LOG_RANGE: Final = (-7.0, 1.0)
"""Of the logarithm of the standard deviation in window units: 0.3 HU to the whole window, at 350 HU a unit."""


class SpreadNetwork(nn.Module):
    """Source and predicted change, window units ``(B, 1, D, H, W)``, to the standard deviation of the change's error, the same."""

    def __init__(self, *, channels: tuple[int, ...], phases: int) -> None:
        super().__init__()
        self.core = Denoiser(
            in_channels=2 * _STEM[1] * _STEM[2],
            out_channels=1,
            channels=channels,
            phases=phases,
            embedding=32,
            time=False,
        )
        z, y, x = (s * n for s, n in zip(_STEM, self.core.stride, strict=True))
        self.multiple_of: Triple = (z, y, x)

    def forward(self, source: Tensor, change: Tensor, phase: Tensor) -> Tensor:
        """``phase`` ``(B,)`` as the system numbers its phases; sizes that are multiples of ``multiple_of``."""
        seen = _paired(torch.cat([source, change], dim=1))
        log = (self.core(seen, t=None, phase=phase).float() + _START).clamp(*_LOG_RANGE)
        return F.interpolate(log, scale_factor=tuple(map(float, _STEM)), mode="trilinear").exp()

    def scale_by(self, factor: float) -> None:
        """Multiply what it says by ``factor``, in place."""
        if self.core.out.bias is None:
            raise ValueError("the network has no bias to be scaled by")
        self.core.out.bias.data += math.log(factor)

    def predict(self, source: Tensor, change: Tensor, phase: Tensor, *, tile: Triple | None = None) -> Tensor:
        """As `forward`, of volumes of any size, in tiles with an exact halo where ``tile`` gives their size."""
        (source, undo), (change, _) = (pad_to_multiple(one.float(), self.multiple_of) for one in (source, change))
        if tile is None:
            return self(source, change, phase)[(..., *undo)]
        z, y, x = self.core.halo
        _, sy, sx = self.core.stride
        (spread,) = tiled(
            lambda a, b: (self(a, b, phase),),
            [source, change],
            input_scales=[_STEM, _STEM],
            output_scales=[_STEM],
            halo=(z, y + sy, x + sx),  # what lies between two voxels of the stem is told by both
            tile=(
                2 * tile[0],
                tile[1],
                tile[2],
            ),  # it is narrow: what takes the memory of a system's tile is twice as long and wide here
            align=self.core.stride,
        )
        return spread[(..., *undo)]


def _paired(x: Tensor) -> Tensor:
    """``(B, C, D, H, W)`` → ``(B, 4 C, D, H/2, W/2)``."""
    b, c, d, h, w = x.shape
    x = x.view(b, c, d, h // 2, 2, w // 2, 2)
    return x.permute(0, 1, 4, 6, 2, 3, 5).reshape(b, 4 * c, d, h // 2, w // 2)
