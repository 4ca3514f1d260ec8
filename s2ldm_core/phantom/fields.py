"""Smooth random fields in physical space: cubic B-splines on a control grid, so any sampling grid sees the same field."""

from __future__ import annotations

import numpy as np
import torch

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]


def _weights(coordinates: np.ndarray, *, start: float, step: float, count: int) -> np.ndarray:
    """Return the cubic B-spline weights (len(coordinates), count); the spline repeats outside its grid."""
    position = (np.asarray(coordinates, np.float64) - start) / step
    base = np.floor(position).astype(np.int64)
    t = position - base
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    rows = np.arange(len(position))
    weights = np.zeros((len(position), count), np.float32)
    for offset, piece in enumerate(pieces):
        np.add.at(weights, (rows, (base + offset - 1) % count), (piece / 6.0).astype(np.float32))
    return weights


class SplineField:
    """A random scalar field of unit standard deviation, band-limited by its control spacing.

    Parameters
    ----------
    rng : random stream.
    spacing_mm : control spacing along (z, y, x), millimetres.
    extent_mm : ((z0, z1), (y0, y1), (x0, x1)); beyond it the field repeats.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        spacing_mm: tuple[float, float, float],
        extent_mm: tuple[tuple[float, float], ...] = ((-460.0, 460.0), (-320.0, 320.0), (-320.0, 320.0)),
    ) -> None:
        self._step = spacing_mm
        self._start = tuple(low for low, _ in extent_mm)
        shape = tuple(max(4, int(np.ceil((high - low) / s))) for (low, high), s in zip(extent_mm, spacing_mm, strict=True))
        control = rng.standard_normal(shape, dtype=np.float32)
        # A cubic B-spline of white control points has variance (151/315)^3 at the mean over the cell.
        self._control = control / np.float32((151.0 / 315.0) ** 1.5)

    def _axis(self, axis: int, coordinates: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(
            _weights(coordinates, start=self._start[axis], step=self._step[axis], count=self._control.shape[axis])
        )

    def grid(self, axes: Axes) -> np.ndarray:
        """Return the field on the grid of the axes' coordinates (mm): (D, H, W) float32."""
        wz, wy, wx = (self._axis(axis, values) for axis, values in enumerate(axes))
        nz, ny, nx = self._control.shape
        part = (wz @ torch.from_numpy(self._control).reshape(nz, ny * nx)).reshape(-1, ny, nx)
        part = torch.matmul(wy, part)
        return torch.matmul(part, wx.T).numpy()

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the field at points (n, 3) given as (z, y, x) mm: (n,) float32."""
        wz, wy, wx = (self._axis(axis, points[:, axis]) for axis in range(3))
        nz, ny, nx = self._control.shape
        part = (wz @ torch.from_numpy(self._control).reshape(nz, ny * nx)).reshape(-1, ny, nx)
        part = torch.einsum("nyx,ny->nx", part, wy)
        return torch.einsum("nx,nx->n", part, wx).numpy()
