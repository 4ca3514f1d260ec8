"""Separable interpolation: one matrix product with a banded matrix for each axis of a volume."""

import math
from typing import Literal

import numpy as np
import torch

Method = Literal["linear", "cubic"]

# About 32 MiB of float32 for 512 x 512 slices: large enough for fast products, small against the volume.
_SLAB_VOXELS = 8 * 1024 * 1024


def weights_at(index: np.ndarray, count: int, reduction: float, method: Method) -> np.ndarray | None:
    """``(len(index), count)`` float32 weights of the input voxels for samples at ``index``; ``None`` for identity.

    ``reduction`` above 1 widens the kernel by that factor.
    """
    if len(index) == count and np.allclose(index, np.arange(count), rtol=0, atol=1e-9):
        return None
    stretch = max(1.0, reduction)
    radius = stretch * (1.0 if method == "linear" else 2.0)
    taps = np.floor(index)[:, None] + np.arange(-math.ceil(radius), math.ceil(radius) + 2)
    offset = taps - index[:, None]
    weight = _kernel(offset / stretch, method)
    weight /= weight.sum(axis=1, keepdims=True)
    # A widened kernel sampled at whole voxels has a small first moment; taking it out lets linear ramps pass exactly.
    hat = _kernel(offset / stretch, "linear")
    hat /= hat.sum(axis=1, keepdims=True)
    lever = offset - (hat * offset).sum(axis=1, keepdims=True)
    spread = (hat * lever**2).sum(axis=1, keepdims=True)
    moment = (weight * offset).sum(axis=1, keepdims=True)
    weight -= hat * lever * np.divide(moment, spread, out=np.zeros_like(moment), where=spread > 1e-6)
    matrix = np.zeros((len(index), count))
    rows = np.broadcast_to(np.arange(len(index))[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, count - 1).astype(np.intp)), weight)
    return matrix.astype(np.float32)


def _kernel(x: np.ndarray, method: Method) -> np.ndarray:
    x = np.abs(x)
    if method == "linear":
        return np.clip(1.0 - x, 0.0, None)
    if method == "cubic":  # Catmull-Rom: Keys' kernel with a = -1/2
        near = (1.5 * x - 2.5) * x * x + 1.0
        far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        return np.where(x < 1, near, np.where(x < 2, far, 0.0))
    raise ValueError(f"method is 'linear' or 'cubic', not {method!r}")


def apply(tensor: torch.Tensor, matrices: list[np.ndarray | None]) -> torch.Tensor:
    """Multiply each axis by its matrix; the axis order keeps what lies in between as small as possible."""
    depth, height, width = (
        tensor.shape[axis] if (matrix := matrices[axis]) is None else matrix.shape[0] for axis in range(3)
    )
    along_slices, down_columns, along_rows = (as_weights(matrix, tensor) for matrix in matrices)
    if depth * tensor.shape[1] * tensor.shape[2] < tensor.shape[0] * height * width:
        return in_plane(across(tensor, along_slices), down_columns, along_rows)
    return across(in_plane(tensor, down_columns, along_rows), along_slices)


def in_plane(tensor: torch.Tensor, down: torch.Tensor | None, along: torch.Tensor | None) -> torch.Tensor:
    """Multiply the columns of each of ``(D, H, W)`` slices by ``down``, the rows by ``along``; None leaves them."""
    if down is None and along is None:
        return tensor
    depth, height, width = tensor.shape
    new_height = height if down is None else down.shape[0]
    new_width = width if along is None else along.shape[0]
    out = tensor.new_empty((depth, new_height, new_width))
    slab = max(1, _SLAB_VOXELS // (max(height, new_height) * max(width, new_width)))
    for start in range(0, depth, slab):
        part = tensor[start : start + slab]
        if along is not None and new_width <= width:
            part = part @ along.T
        if down is not None:
            part = down @ part
        if along is not None and new_width > width:
            part = part @ along.T
        out[start : start + slab] = part
    return out


def across(tensor: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Multiply ``(D, H, W)`` slices by ``(n, D)`` weights, which makes them n."""
    if weights is None:
        return tensor
    depth, height, width = tensor.shape
    out = tensor.new_empty((weights.shape[0], height, width))
    slab = max(1, _SLAB_VOXELS // (max(depth, weights.shape[0]) * width))
    for start in range(0, height, slab):
        part = tensor[:, start : start + slab]
        out[:, start : start + slab] = (weights @ part.reshape(depth, -1)).view(-1, part.shape[1], width)
    return out


def as_weights(matrix: np.ndarray | None, like: torch.Tensor) -> torch.Tensor | None:
    return None if matrix is None else torch.from_numpy(matrix).to(like.device, like.dtype)
