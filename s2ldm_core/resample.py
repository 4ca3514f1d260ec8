r"""Separable resampling between a scanner's grid and a model's, and back onto exactly the scanner's grid.

Both grids share their centre. Along an axis with ``N`` voxels of size ``s`` and ``n`` of size ``s'``, voxel ``j`` of
the new grid lies at index

.. math:: u_j = \frac{(j - \frac{n-1}{2})\, s'}{s} + \frac{N-1}{2}

of the old one, voxel indices meaning voxel centres, so there is no half-voxel shift either way.

Slices that lie off the source's grid (`s2ldm_core.offsets`: gantry tilt, uneven increments) are read where they are:
the matrix along the slices then goes by their places, and each slice has matrices of its own in its plane. The new grid
is regular and stands straight on the slices, and covers them all.

Each axis is one matrix product with a banded matrix. When an axis is reduced, its kernel is widened by the factor of
reduction, which averages instead of aliasing. Rows are corrected so that constants and linear ramps pass unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch

from s2ldm_core.offsets import SliceOffsets
from s2ldm_core.separable import Method, across, apply, as_weights, in_plane, weights_at
from s2ldm_core.volume import Volume

ArrayT = TypeVar("ArrayT", np.ndarray, torch.Tensor)

_SAME_SPACING = 1e-6


@dataclass(frozen=True, kw_only=True)
class GridMap:
    """A source grid and the grid that was made from it.

    Shapes are ``(D, H, W)``, spacings ``(dz, dy, dx)`` in mm. The two share their centre, but for ``centre_mm``: how far
    the new one's lies from the source's, which is not zero where slices lie off the source's grid (``offsets``).
    """

    source_shape: tuple[int, int, int]
    source_spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    offsets: SliceOffsets | None = None
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def source_index(self, axis: int, *, shift_mm: float = 0.0) -> np.ndarray:
        """``(shape[axis],)`` float64: where each voxel of the new grid lies, as an index of the source grid.

        ``shift_mm`` is how far the slice asked about lies from that grid.
        """
        index = _index_in(
            self.shape[axis], self.spacing_mm[axis], self.source_shape[axis], self.source_spacing_mm[axis]
        )
        return index + (self.centre_mm[axis] - shift_mm) / self.source_spacing_mm[axis]

    def index_of_source(self, axis: int, *, shift_mm: float = 0.0) -> np.ndarray:
        """``(source_shape[axis],)`` float64: where each voxel of the source lies, as an index of the new grid."""
        index = _index_in(
            self.source_shape[axis], self.source_spacing_mm[axis], self.shape[axis], self.spacing_mm[axis]
        )
        return index + (shift_mm - self.centre_mm[axis]) / self.spacing_mm[axis]

    def part(self, start: int, stop: int) -> GridMap:
        """The same new grid, with only slices ``start`` to ``stop`` of the source: for `from_spacing` piece by piece."""
        _, height, width = self.source_shape
        shift_mm = ((start + stop) - self.source_shape[0]) / 2 * self.source_spacing_mm[0]
        box = slice(start, stop), slice(None), slice(None)
        return replace(
            self,
            source_shape=(stop - start, height, width),
            offsets=None if self.offsets is None else self.offsets.cropped(box),
            centre_mm=(self.centre_mm[0] - shift_mm, *self.centre_mm[1:]),
        )

    def affine(self, source_affine: np.ndarray) -> np.ndarray:
        """``(4, 4)`` affine of the new grid in the coordinates of the source's (see `Volume.affine`)."""
        scale = np.eye(4)
        for axis in range(3):
            scale[2 - axis, 2 - axis] = self.spacing_mm[axis] / self.source_spacing_mm[axis]
            scale[2 - axis, 3] = self.source_index(axis)[0]
        return np.asarray(source_affine, dtype=np.float64) @ scale


def grid_map(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    new_spacing_mm: tuple[float, float, float],
    *,
    offsets: SliceOffsets | None = None,
) -> GridMap:
    """The grid of ``new_spacing_mm`` that covers a source grid, without resampling anything.

    ``offsets`` says where the source's slices lie, if not on its grid.

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
    centre = [0.0, 0.0, 0.0]
    for axis, (count, spacing, new) in enumerate(zip(shape, spacing_mm, new_spacing_mm, strict=True)):
        extent = count * spacing
        if offsets is not None:
            along = axis == offsets.axis
            places = offsets.along_mm(spacing) if along else offsets.mm[:, axis]
            extent = float(np.ptp(places)) + spacing * (1 if along else count)
            centre[axis] = float(places.min() + places.max()) / 2
        same = abs(new / spacing - 1) < _SAME_SPACING
        fitting = count if same and offsets is None else max(1, math.ceil(extent / new - 1e-6))
        new_shape.append(fitting)
        new_spacing.append(float(spacing if same else new))
    return GridMap(
        source_shape=(shape[0], shape[1], shape[2]),
        source_spacing_mm=(float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2])),
        shape=(new_shape[0], new_shape[1], new_shape[2]),
        spacing_mm=(new_spacing[0], new_spacing[1], new_spacing[2]),
        offsets=offsets,
        centre_mm=(centre[0], centre[1], centre[2]),
    )


def to_spacing(
    array: ArrayT,
    spacing_mm: tuple[float, float, float],
    new_spacing_mm: tuple[float, float, float],
    *,
    method: Method = "linear",
    offsets: SliceOffsets | None = None,
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
    offsets
        How far the array's slices lie from its grid.

    Returns
    -------
    tuple of array and GridMap
        The resampled values and what `from_spacing` needs to undo it.
    """
    tensor = _tensor(array)
    shape = (tensor.shape[0], tensor.shape[1], tensor.shape[2])
    grid = grid_map(shape, spacing_mm, new_spacing_mm, offsets=offsets)
    if offsets is not None:
        return _like(array, _from_slices(tensor, grid, offsets, method)), grid
    matrices = [
        weights_at(
            grid.source_index(axis), tensor.shape[axis], grid.spacing_mm[axis] / grid.source_spacing_mm[axis], method
        )
        for axis in range(3)
    ]
    return _like(array, apply(tensor, matrices)), grid


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
    if grid.offsets is not None:
        return _like(array, _onto_slices(tensor, grid, grid.offsets, method))
    matrices = [weights_at(grid.index_of_source(axis), grid.shape[axis], 1.0, method) for axis in range(3)]
    return _like(array, apply(tensor, matrices))


def resample(
    volume: Volume, new_spacing_mm: tuple[float, float, float], *, method: Method = "linear"
) -> tuple[Volume, GridMap]:
    """`to_spacing` for a volume: its HU and affine on the new grid; slice records, padding and offsets stay behind."""
    hu, grid = to_spacing(volume.hu, volume.spacing_mm, new_spacing_mm, method=method, offsets=volume.offsets)
    return replace(volume, hu=hu, affine=grid.affine(volume.affine), slices=(), padding=None, offsets=None), grid


def _from_slices(tensor: torch.Tensor, grid: GridMap, offsets: SliceOffsets, method: Method) -> torch.Tensor:
    """`to_spacing` of slices that lie off their grid: each in its plane first, then along their places."""
    axis, others = offsets.axis, [other for other in range(3) if other != offsets.axis]
    reduction = [grid.spacing_mm[other] / grid.source_spacing_mm[other] for other in range(3)]

    def of_slice(other: int, shift_mm: float) -> np.ndarray | None:
        index = grid.source_index(other, shift_mm=shift_mm)
        return weights_at(index, grid.source_shape[other], reduction[other], method)

    flat = _each_slice(tensor.movedim(axis, 0), offsets, others, of_slice)
    along = _uneven_matrix(grid, offsets, method)
    return across(flat, as_weights(along, flat)).movedim(0, axis).contiguous()


def _onto_slices(tensor: torch.Tensor, grid: GridMap, offsets: SliceOffsets, method: Method) -> torch.Tensor:
    """`from_spacing` at the very places of slices that lie off their grid."""
    axis, others = offsets.axis, [other for other in range(3) if other != offsets.axis]
    places = offsets.along_mm(grid.source_spacing_mm[axis])
    index = (places - grid.centre_mm[axis]) / grid.spacing_mm[axis] + (grid.shape[axis] - 1) / 2
    along = weights_at(index, grid.shape[axis], 1.0, method)
    flat = across(tensor.movedim(axis, 0), as_weights(along, tensor))

    def of_slice(other: int, shift_mm: float) -> np.ndarray | None:
        return weights_at(grid.index_of_source(other, shift_mm=shift_mm), grid.shape[other], 1.0, method)

    return _each_slice(flat, offsets, others, of_slice).movedim(0, axis).contiguous()


def _uneven_matrix(grid: GridMap, offsets: SliceOffsets, method: Method) -> np.ndarray | None:
    """``(shape[axis], source_shape[axis])`` weights from the slices' places to the new grid.

    Between slices values go linearly, onto an even grid as fine as the closest two slices; from there as along any
    other axis. Constants and linear ramps along the slices pass unchanged.
    """
    axis = offsets.axis
    places = offsets.along_mm(grid.source_spacing_mm[axis])
    steps = np.diff(places)
    if len(places) < 2 or np.ptp(steps) < _SAME_SPACING:
        return weights_at(
            grid.source_index(axis), len(places), grid.spacing_mm[axis] / grid.source_spacing_mm[axis], method
        )
    step = float(steps.min())
    fine = math.ceil(float(np.ptp(places)) / step - 1e-6) + 1
    between = np.interp(
        (np.arange(fine) - (fine - 1) / 2) * step + grid.centre_mm[axis], places, np.arange(len(places), dtype=float)
    )
    even = weights_at(between, len(places), 1.0, "linear")
    index = _index_in(grid.shape[axis], grid.spacing_mm[axis], fine, step)
    coarse = weights_at(index, fine, grid.spacing_mm[axis] / step, method)
    if even is None:
        return coarse
    return even if coarse is None else coarse @ even


def _each_slice(
    slices: torch.Tensor,
    offsets: SliceOffsets,
    others: list[int],
    matrix: Callable[[int, float], np.ndarray | None],
) -> torch.Tensor:
    """Each of ``(N, H, W)`` slices through its own matrices: ``matrix(axis, shift_mm)`` of both axes in its plane."""

    @lru_cache(maxsize=4)  # a stack leans along one axis; along the other one matrix does for all slices
    def weights(axis: int, shift_mm: float) -> torch.Tensor | None:
        return as_weights(matrix(axis, shift_mm), slices)

    out: torch.Tensor | None = None
    for index in range(len(slices)):
        down, along = (weights(axis, round(float(offsets.mm[index, axis]), 6)) for axis in others)
        flat = in_plane(slices[index : index + 1], down, along)
        if out is None:
            out = flat.new_empty((len(slices), *flat.shape[1:]))
        out[index] = flat[0]
    return slices if out is None else out


def _index_in(count: int, spacing: float, other_count: int, other_spacing: float) -> np.ndarray:
    """``(count,)``: index in the other grid at which each voxel of this one lies; the grids share their centre."""
    index: np.ndarray = (np.arange(count) - (count - 1) / 2) * (spacing / other_spacing) + (other_count - 1) / 2
    return index


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
