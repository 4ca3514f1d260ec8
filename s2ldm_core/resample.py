r"""Separable resampling between a scanner's grid and a model's, and back onto exactly the scanner's grid.

Both grids share their centre. Along an axis with ``N`` voxels of size ``s`` and ``n`` of size ``s'``, voxel ``j`` of
the new grid lies at index

.. math:: u_j = \frac{(j - \frac{n-1}{2})\, s'}{s} + \frac{N-1}{2}

of the old one, voxel indices meaning voxel centres, so there is no half-voxel shift either way.

Each axis is one matrix product with a banded matrix. When an axis is reduced, its kernel is widened by the factor of
reduction, which averages instead of aliasing. Rows are corrected so that constants and linear ramps pass unchanged.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import torch

from s2ldm_core.volume import Volume

Method = Literal["linear", "cubic"]
ArrayT = TypeVar("ArrayT", np.ndarray, torch.Tensor)

# About 32 MiB of float32 for 512 x 512 slices: large enough for fast products, small against the volume.
_SLAB_VOXELS = 8 * 1024 * 1024
_SAME_SPACING = 1e-6


@dataclass(frozen=True, kw_only=True)
class GridMap:
    """A source grid and the grid that was made from it; the two share their centre.

    Shapes are ``(D, H, W)``, spacings ``(dz, dy, dx)`` in mm.
    """

    source_shape: tuple[int, int, int]
    source_spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def source_index(self, axis: int) -> np.ndarray:
        """``(shape[axis],)`` float64: where each voxel of the new grid lies, as an index of the source grid."""
        return _index_in(self.shape[axis], self.spacing_mm[axis], self.source_shape[axis], self.source_spacing_mm[axis])

    def affine(self, source_affine: np.ndarray) -> np.ndarray:
        """``(4, 4)`` affine of the new grid in the coordinates of the source's (see `Volume.affine`)."""
        scale = np.eye(4)
        for axis in range(3):
            scale[2 - axis, 2 - axis] = self.spacing_mm[axis] / self.source_spacing_mm[axis]
            scale[2 - axis, 3] = self.source_index(axis)[0]
        return np.asarray(source_affine, dtype=np.float64) @ scale


def grid_map(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], new_spacing_mm: tuple[float, float, float]
) -> GridMap:
    """The grid of ``new_spacing_mm`` that covers a source grid, without resampling anything.

    Raises
    ------
    ValueError
        When a spacing is not positive and finite or a shape is empty.
    """
    if min(shape) < 1:
        raise ValueError(f"shape must not be empty, is {shape}")
    if not all(math.isfinite(value) and value > 0 for value in (*spacing_mm, *new_spacing_mm)):
        raise ValueError(f"spacings must be positive and finite, are {spacing_mm} and {new_spacing_mm}")
    new_shape: list[int] = []
    new_spacing: list[float] = []
    for count, spacing, new in zip(shape, spacing_mm, new_spacing_mm, strict=True):
        same = abs(new / spacing - 1) < _SAME_SPACING
        new_shape.append(count if same else max(1, math.ceil(count * spacing / new - 1e-6)))
        new_spacing.append(float(spacing if same else new))
    return GridMap(
        source_shape=(shape[0], shape[1], shape[2]),
        source_spacing_mm=(float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2])),
        shape=(new_shape[0], new_shape[1], new_shape[2]),
        spacing_mm=(new_spacing[0], new_spacing[1], new_spacing[2]),
    )


def to_spacing(
    array: ArrayT,
    spacing_mm: tuple[float, float, float],
    new_spacing_mm: tuple[float, float, float],
    *,
    method: Method = "linear",
) -> tuple[ArrayT, GridMap]:
    """Resample ``(D, H, W)`` values to another spacing, averaging along axes that get coarser.

    Parameters
    ----------
    array
        ``(D, H, W)`` values; a NumPy array gives a float32 one, a tensor one of its own device and float type.
        Beyond the edge the outermost voxel continues.
    spacing_mm, new_spacing_mm
        ``(dz, dy, dx)`` in mm, before and after. An axis whose spacing stays is left untouched.
    method
        ``linear`` neither overshoots nor rings; ``cubic`` (Catmull-Rom) keeps more detail.

    Returns
    -------
    tuple of array and GridMap
        The resampled values and what `from_spacing` needs to undo it.
    """
    tensor = _tensor(array)
    grid = grid_map((tensor.shape[0], tensor.shape[1], tensor.shape[2]), spacing_mm, new_spacing_mm)
    matrices = [
        _matrix(
            grid.source_index(axis), tensor.shape[axis], grid.spacing_mm[axis] / grid.source_spacing_mm[axis], method
        )
        for axis in range(3)
    ]
    return _like(array, _apply(tensor, matrices)), grid


def from_spacing(array: ArrayT, grid: GridMap, *, method: Method = "cubic") -> ArrayT:
    """Interpolate values on a `GridMap`'s new grid at exactly the voxels of its source grid.

    Parameters
    ----------
    array
        ``grid.shape`` values.
    method
        ``cubic`` (Catmull-Rom) or ``linear``. No averaging takes place, whichever grid is finer.

    Returns
    -------
    array
        ``grid.source_shape`` values of the same kind.

    Raises
    ------
    ValueError
        When ``array`` does not have ``grid.shape``.
    """
    tensor = _tensor(array)
    if tuple(tensor.shape) != grid.shape:
        raise ValueError(f"array has shape {tuple(tensor.shape)}, the grid {grid.shape}")
    matrices = []
    for axis in range(3):
        index = _index_in(
            grid.source_shape[axis], grid.source_spacing_mm[axis], grid.shape[axis], grid.spacing_mm[axis]
        )
        matrices.append(_matrix(index, grid.shape[axis], 1.0, method))
    return _like(array, _apply(tensor, matrices))


def resample(
    volume: Volume, new_spacing_mm: tuple[float, float, float], *, method: Method = "linear"
) -> tuple[Volume, GridMap]:
    """`to_spacing` for a volume: its HU and affine on the new grid; slice records and padding do not carry over."""
    hu, grid = to_spacing(volume.hu, volume.spacing_mm, new_spacing_mm, method=method)
    return replace(volume, hu=hu, affine=grid.affine(volume.affine), slices=(), padding=None), grid


def _index_in(count: int, spacing: float, other_count: int, other_spacing: float) -> np.ndarray:
    """``(count,)``: index in the other grid at which each voxel of this one lies; the grids share their centre."""
    index: np.ndarray = (np.arange(count) - (count - 1) / 2) * (spacing / other_spacing) + (other_count - 1) / 2
    return index


def _matrix(index: np.ndarray, count: int, reduction: float, method: Method) -> np.ndarray | None:
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


def _apply(tensor: torch.Tensor, matrices: list[np.ndarray | None]) -> torch.Tensor:
    """Multiply each axis by its matrix; the axis order keeps what lies in between as small as possible."""
    depth, height, width = (
        tensor.shape[axis] if (matrix := matrices[axis]) is None else matrix.shape[0] for axis in range(3)
    )
    along_slices, down_columns, along_rows = (
        None if matrix is None else torch.from_numpy(matrix).to(tensor.device, tensor.dtype) for matrix in matrices
    )
    if depth * tensor.shape[1] * tensor.shape[2] < tensor.shape[0] * height * width:
        return _in_plane(_across(tensor, along_slices), down_columns, along_rows)
    return _across(_in_plane(tensor, down_columns, along_rows), along_slices)


def _in_plane(tensor: torch.Tensor, down: torch.Tensor | None, along: torch.Tensor | None) -> torch.Tensor:
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


def _across(tensor: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    if weights is None:
        return tensor
    depth, height, width = tensor.shape
    out = tensor.new_empty((weights.shape[0], height, width))
    slab = max(1, _SLAB_VOXELS // (max(depth, weights.shape[0]) * width))
    for start in range(0, height, slab):
        part = tensor[:, start : start + slab]
        out[:, start : start + slab] = (weights @ part.reshape(depth, -1)).view(-1, part.shape[1], width)
    return out


def _tensor(array: np.ndarray | torch.Tensor) -> torch.Tensor:
    if array.ndim != 3:
        raise ValueError(f"array has three axes (D, H, W), not shape {tuple(array.shape)}")
    if isinstance(array, torch.Tensor):
        return array if array.is_floating_point() else array.float()
    return torch.from_numpy(np.require(array, dtype=np.float32, requirements=["C", "W"]))


def _like(array: ArrayT, result: torch.Tensor) -> ArrayT:
    if isinstance(array, torch.Tensor):
        return result.clone() if result is array else result
    values: np.ndarray = result.numpy()
    return values.copy() if np.shares_memory(values, array) else values
