"""Implicit shapes in atlas space: signed distances in mm, positive inside (approximate away from the surface)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

CONTOUR_Z0, CONTOUR_Z1, CONTOUR_STEP = -420.0, 420.0, 1.0
CONTOUR_ANGLES = 720


class Region:
    """Atlas coordinates (mm) of a box of voxels, each array (d, h, w) float32, and the body's polar contours.

    A contour is a table (z, angle) of radii around the atlas axis; angle 0 is the patient's left, 90° posterior.
    """

    def __init__(
        self, z: np.ndarray, y: np.ndarray, x: np.ndarray, contours: dict[str, np.ndarray], polar: tuple | None = None
    ) -> None:
        self.z, self.y, self.x = z, y, x
        self._contours = contours
        self._polar = polar

    def __getitem__(self, box: tuple[slice, slice, slice]) -> Region:
        self._ensure()
        assert self._polar is not None  # noqa: S101 - set by _ensure
        index, radius = self._polar
        return Region(self.z[box], self.y[box], self.x[box], self._contours, (index[box], radius[box]))

    def _ensure(self) -> None:
        if self._polar is None:
            angle = np.arctan2(self.y, self.x)
            angle *= np.float32(CONTOUR_ANGLES / (2 * np.pi))
            columns = angle.astype(np.int32) % CONTOUR_ANGLES
            rows = ((self.z - np.float32(CONTOUR_Z0)) / np.float32(CONTOUR_STEP)).astype(np.int32)
            np.clip(rows, 0, int((CONTOUR_Z1 - CONTOUR_Z0) / CONTOUR_STEP), out=rows)
            rows *= CONTOUR_ANGLES
            rows += columns
            self._polar = rows, np.sqrt(self.x**2 + self.y**2)

    def depth(self, contour: str) -> np.ndarray:
        """Return the depth below the named contour, mm, positive inside."""
        self._ensure()
        assert self._polar is not None  # noqa: S101 - set by _ensure
        index, radius = self._polar
        return self._contours[contour].ravel()[index] - radius


class Shape(Protocol):
    def bounds(self) -> tuple[np.ndarray, np.ndarray]: ...

    def sdf(self, region: Region) -> np.ndarray: ...


def rotation(*, about_z: float = 0.0, about_y: float = 0.0, about_x: float = 0.0) -> np.ndarray:
    """Return the rotation matrix (degrees) acting on (x, y, z) columns."""
    matrix = np.eye(3)
    for axis, degrees in ((2, about_z), (1, about_y), (0, about_x)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = c
        turn[i, j], turn[j, i] = -s, s
        matrix = matrix @ turn
    return matrix


@dataclass(frozen=True, kw_only=True)
class Ellipsoid:
    """Superellipsoid: centre and radii (x, y, z) mm, turned by `turn`, exponent `power`, surface waves of `waves_mm`."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    turn: np.ndarray | None = None
    power: float = 2.0
    waves_mm: float = 0.0
    wave_length_mm: float = 25.0

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        half = np.array(self.radii) if self.turn is None else np.sqrt((self.turn**2) @ np.array(self.radii) ** 2)
        if self.power > 2.0 and self.turn is not None:
            half = half * 1.25
        half = half + self.waves_mm
        centre = np.array(self.centre)
        return (centre - half)[::-1], (centre + half)[::-1]

    def sdf(self, region: Region) -> np.ndarray:
        x = region.x - np.float32(self.centre[0])
        y = region.y - np.float32(self.centre[1])
        z = region.z - np.float32(self.centre[2])
        if self.turn is None:
            u, v, w = x, y, z
        else:
            t = self.turn.astype(np.float32)
            u, v, w = (t[0, i] * x + t[1, i] * y + t[2, i] * z for i in range(3))
        a, b, c = (np.float32(r) for r in self.radii)
        if self.power == 2.0:
            f = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
        else:
            f = (np.abs(u / a) ** self.power + np.abs(v / b) ** self.power + np.abs(w / c) ** self.power) ** (
                1 / self.power
            )
        f = np.maximum(f, np.float32(1e-3))
        # Length along the ray from the centre, shortened to the distance of a flat ellipsoid.
        out = np.sqrt(x**2 + y**2 + z**2) * (1.0 / f - 1.0)
        np.minimum(out, np.float32(max(self.radii)), out=out)
        if self.waves_mm:
            k = np.float32(2 * np.pi / self.wave_length_mm)
            out += np.float32(self.waves_mm) * (
                np.sin(k * (region.x + 0.6 * region.z)) * np.sin(k * (region.y - 0.5 * region.z))
            )
        return out


@dataclass(frozen=True, kw_only=True)
class Column:
    """A generalised cylinder along z: at each knot z a centre (x, y), half-axes (a, b), an angle (degrees) and a power."""

    z: tuple[float, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    angle: tuple[float, ...] = (0.0,)
    power: float = 2.0

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        reach = max(max(self.a), max(self.b)) * (1.0 if self.power <= 2.0 else 1.2)
        return (
            np.array([min(self.z), min(self.y) - reach, min(self.x) - reach]),
            np.array([max(self.z), max(self.y) + reach, max(self.x) + reach]),
        )

    def sdf(self, region: Region) -> np.ndarray:
        order = np.argsort(self.z)
        knots = np.array(self.z)[order]
        fine = np.linspace(knots[0], knots[-1], max(2, int((knots[-1] - knots[0]) * 2)))
        index = np.clip((region.z - knots[0]) * ((len(fine) - 1) / (knots[-1] - knots[0])), 0, len(fine) - 1).astype(
            np.int32
        )

        def along(values: tuple[float, ...]) -> np.ndarray:
            spread = (
                np.broadcast_to(np.array(values, np.float64), len(knots))[order]
                if len(values) == 1
                else np.array(values)[order]
            )
            return np.interp(fine, knots, spread).astype(np.float32)[index]

        x, y = region.x - along(self.x), region.y - along(self.y)
        if any(self.angle):
            turn = np.radians(along(self.angle))
            c, s = np.cos(turn), np.sin(turn)
            x, y = c * x + s * y, c * y - s * x
        a, b = along(self.a), along(self.b)
        if self.power == 2.0:
            f = np.sqrt((x / a) ** 2 + (y / b) ** 2)
        else:
            f = (np.abs(x / a) ** self.power + np.abs(y / b) ** self.power) ** (1 / self.power)
        f = np.maximum(f, np.float32(1e-3))
        out = np.sqrt(x**2 + y**2) * (1.0 / f - 1.0)
        np.minimum(out, np.maximum(a, b), out=out)
        ends = np.minimum(region.z - np.float32(knots[0]), np.float32(knots[-1]) - region.z)
        return np.minimum(out, ends)


@dataclass(frozen=True, kw_only=True)
class Formula:
    """A shape given by a function of the region, within bounds (x0, x1, y0, y1, z0, z1) mm."""

    limits: tuple[float, float, float, float, float, float]
    function: Callable[[Region], np.ndarray]

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        x0, x1, y0, y1, z0, z1 = self.limits
        return np.array([z0, y0, x0]), np.array([z1, y1, x1])

    def sdf(self, region: Region) -> np.ndarray:
        return self.function(region)


def interval(first: float, second: float) -> tuple[float, float]:
    """Return both ends of an interval in order: what lies right and what lies left of the midline has them reversed."""
    return min(first, second), max(first, second)


def both(*shapes: Shape) -> Formula:
    """Return the intersection of shapes, bounded by the first."""
    low, high = shapes[0].bounds()

    def sdf(region: Region) -> np.ndarray:
        out = shapes[0].sdf(region)
        for shape in shapes[1:]:
            out = np.minimum(out, shape.sdf(region))
        return out

    return Formula(limits=(low[2], high[2], low[1], high[1], low[0], high[0]), function=sdf)


def smooth_union(first: np.ndarray, second: np.ndarray, *, blend_mm: float) -> np.ndarray:
    """Return the union of two signed distances with a rounded seam."""
    h = np.clip(0.5 + 0.5 * (first - second) / blend_mm, 0.0, 1.0)
    return second + (first - second) * h + blend_mm * h * (1.0 - h)
