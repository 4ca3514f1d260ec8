"""Smooth random fields in physical space: cubic B-splines on a control grid, so any sampling grid sees the same field."""

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
        weights[rows, (base + offset - 1) % count] = piece / 6.0  # four different columns, count >= 4
    return weights


class SplineField:
    """A random field of unit standard deviation, band-limited by its control spacing.

    Parameters
    ----------
    rng : random stream.
    spacing_mm : control spacing along (z, y, x), millimetres.
    extent_mm : ((z0, z1), (y0, y1), (x0, x1)); beyond it the field repeats.
    components : number of independent fields C held together; their results have C as the first axis.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        spacing_mm: tuple[float, float, float],
        extent_mm: tuple[tuple[float, float], ...] = ((-460.0, 460.0), (-320.0, 320.0), (-320.0, 320.0)),
        components: int = 1,
    ) -> None:
        self._step = spacing_mm
        self._start = tuple(low for low, _ in extent_mm)
        shape = tuple(
            max(4, int(np.ceil((high - low) / s))) for (low, high), s in zip(extent_mm, spacing_mm, strict=True)
        )
        control = rng.standard_normal((components, *shape), dtype=np.float32)
        # A cubic B-spline of white control points has variance (151/315)^3 at the mean over the cell.
        self._control = torch.from_numpy(control / np.float32((151.0 / 315.0) ** 1.5))

    def _axis(self, axis: int, coordinates: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(
            _weights(coordinates, start=self._start[axis], step=self._step[axis], count=self._control.shape[axis + 1])
        )

    def grid(self, axes: Axes) -> np.ndarray:
        """Return the field on the grid of the axes' coordinates (mm): (C, D, H, W) float32."""
        wz, wy, wx = (self._axis(axis, values) for axis, values in enumerate(axes))
        part = torch.einsum("dz,czyx->cdyx", wz, self._control)
        part = torch.matmul(wy, part)
        return torch.matmul(part, wx.T).numpy()

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the field at points (n, 3) given as (z, y, x) mm: (C, n) float32."""
        wz, wy, wx = (self._axis(axis, points[:, axis]) for axis in range(3))
        part = torch.einsum("nz,czyx->cnyx", wz, self._control)
        part = torch.einsum("cnyx,ny->cnx", part, wy)
        return torch.einsum("cnx,nx->cn", part, wx).numpy()
