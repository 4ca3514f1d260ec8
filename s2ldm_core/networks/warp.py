"""Images moved by a displacement field, and how smooth such a field is.

A displacement ``(B, 3, D, H, W)`` is in voxels, its channels in the order of the axes: slices, rows, columns. It says where a voxel of the
result comes from, relative to its own place.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def warped(image: Tensor, displacement: Tensor, *, nearest: bool = False) -> Tensor:
    """``image`` ``(B, C, D, H, W)`` at x + displacement(x), fp32; trilinear, and the border's value beyond it."""
    with torch.autocast(image.device.type, enabled=False):
        places = _places(displacement.float())
        size = torch.tensor(image.shape[2:], device=image.device, dtype=torch.float32)
        unit = 2 * places / (size - 1).clamp(min=1).view(1, 3, 1, 1, 1) - 1
        grid = unit.flip(1).movedim(1, -1)  # grid_sample names columns first
        mode = "nearest" if nearest else "bilinear"
        return F.grid_sample(image.float(), grid, mode=mode, padding_mode="border", align_corners=True)


def inside(displacement: Tensor) -> Tensor:
    """``(B, 1, D, H, W)`` bool: whether x + displacement(x) lies within the image."""
    places = _places(displacement.float())
    last = torch.tensor(displacement.shape[2:], device=displacement.device).view(1, 3, 1, 1, 1) - 1
    return ((places >= 0) & (places <= last)).all(dim=1, keepdim=True)


def roughness(displacement: Tensor) -> Tensor:
    """Mean squared first difference, averaged over the three axes; 0 for a translation. Scalar."""
    squares = [displacement.float().diff(dim=axis).square().mean() for axis in (2, 3, 4)]
    return torch.stack(squares).mean()


def _places(displacement: Tensor) -> Tensor:
    axes = [torch.arange(n, device=displacement.device, dtype=torch.float32) for n in displacement.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None] + displacement
