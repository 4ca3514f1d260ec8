"""The label map being painted: two tissues per voxel and the share of the upper one (anti-aliased painter's algorithm)."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from s2ldm_core.phantom.fields import Axes
from s2ldm_core.phantom.shapes import Region, Shape
from s2ldm_core.phantom.tissues import ORGANS
from s2ldm_core.phantom.warp import Warp

Slices = tuple[slice, slice, slice]
_MARGIN_MM = 3.0


class Canvas:
    """A slab of the label map.

    Attributes
    ----------
    top, under : (D, H, W) uint8, the tissue covering most of a voxel and the one sharing it.
    share : (D, H, W) uint8, share of `top` in 1/255, at least 128.
    """

    def __init__(self, axes: Axes, warp: Warp, contours: dict[str, np.ndarray]) -> None:
        self.axes = axes
        self.warp = warp
        shape = tuple(len(axis) for axis in axes)
        self.top = np.zeros(shape, np.uint8)
        self.under = np.zeros(shape, np.uint8)
        self.share = np.full(shape, 255, np.uint8)
        z, y, x = warp.atlas(axes)
        self.region = Region(z, y, x, contours)
        steps = [abs(float(axis[1] - axis[0])) if len(axis) > 1 else 1.0 for axis in axes]
        # Width of the partial-volume ramp: the voxel's mean edge, thick slices counted less (surfaces are seldom horizontal).
        self.edge_mm = float(np.cbrt(min(steps[0], 2.5 * steps[1]) * steps[1] * steps[2]))

    @cached_property
    def _extent(self) -> tuple[np.ndarray, np.ndarray]:
        steps = [abs(float(axis[1] - axis[0])) if len(axis) > 1 else 1.0 for axis in self.axes]
        return np.array([axis[0] for axis in self.axes]), np.array(steps)

    def box(self, low: np.ndarray, high: np.ndarray) -> Slices | None:
        """Return the index box of world bounds (z, y, x) mm, or None outside the slab."""
        origin, step = self._extent
        first = np.floor((np.asarray(low) - origin) / step).astype(int)
        last = np.ceil((np.asarray(high) - origin) / step).astype(int) + 1
        first = np.maximum(first, 0)
        last = np.minimum(last, self.top.shape)
        if np.any(last <= first):
            return None
        return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))  # type: ignore[return-value]

    def paint(self, shape: Shape, label: str, *, over: Iterable[str] | None = None) -> None:
        """Paint a shape given in atlas space; `over` restricts it to voxels whose upper tissue is one of these."""
        low, high = self.warp.world_bounds(*shape.bounds())
        box = self.box(low - _MARGIN_MM, high + _MARGIN_MM)
        if box is None:
            return
        self.fill(box, shape.sdf(self.region[box]), label, over=over)

    def tube(
        self,
        points: np.ndarray,
        radii: np.ndarray,
        label: str,
        *,
        over: Iterable[str] | None = None,
        gas_level_mm: float | None = None,
    ) -> None:
        """Paint a tube along atlas points (n, 3) (z, y, x) with radii (n,) mm.

        gas_level_mm fills only what lies this height or more above (anterior to) the tube's mean axis: gas over fluid in a
        lying patient.
        """
        points, radii = np.asarray(points, np.float64), np.asarray(radii, np.float64)
        self.segments(points, radii, np.arange(len(points)) - 1, label, over=over, gas_level_mm=gas_level_mm)

    def segments(
        self,
        points: np.ndarray,
        radii: np.ndarray,
        parents: np.ndarray,
        label: str,
        *,
        over: Iterable[str] | None = None,
        gas_level_mm: float | None = None,
    ) -> None:
        """Paint a tree: a tapering capsule from every atlas point (z, y, x) to its parent's (index, -1 for a root)."""
        points = np.asarray(points, np.float64)
        thickest = float(radii.max())
        whole_low, whole_high = self.warp.world_bounds(points.min(axis=0) - thickest, points.max(axis=0) + thickest)
        if self.box(whole_low, whole_high) is None:
            return
        world = self.warp.world(points)
        allowed = self._allowed(over)
        level = float(world[:, 1].mean()) - gas_level_mm if gas_level_mm is not None else 0.0
        origin, step = self._extent
        far = origin + step * np.array(self.top.shape)
        children = np.flatnonzero(parents >= 0)
        reaches = np.maximum(radii[children], radii[parents[children]]) + self.edge_mm
        low = np.minimum(world[children], world[parents[children]]) - reaches[:, None]
        high = np.maximum(world[children], world[parents[children]]) + reaches[:, None]
        inside = np.all((high > origin) & (low < far), axis=1)
        for child, box_low, box_high in zip(children[inside], low[inside], high[inside], strict=True):
            box = self.box(box_low, box_high)
            if box is None:
                continue
            parent = parents[child]
            p, q, rp, rq = world[parent], world[child], radii[parent], radii[child]
            z = (self.axes[0][box[0]] - p[0]).astype(np.float32)[:, None, None]
            y = (self.axes[1][box[1]] - p[1]).astype(np.float32)[None, :, None]
            x = (self.axes[2][box[2]] - p[2]).astype(np.float32)[None, None, :]
            d = (q - p).astype(np.float32)
            t = np.clip((z * d[0] + y * d[1] + x * d[2]) / max(float(d @ d), 1e-6), 0.0, 1.0)
            distance = np.sqrt((z - t * d[0]) ** 2 + (y - t * d[1]) ** 2 + (x - t * d[2]) ** 2)
            radius = np.float32(rp) + t * np.float32(rq - rp)
            sdf = radius - distance
            # A vessel thinner than the voxel covers only part of it.
            limit = np.clip((2.0 * radius / self.edge_mm) ** 2 * 0.8, 0.0, 1.0)
            if gas_level_mm is not None:
                sdf = np.minimum(sdf, np.float32(level - p[1]) - y)
            self._blend(box, np.clip(0.5 + sdf / self.edge_mm, 0.0, 1.0) * limit, ORGANS[label], allowed)

    def fill(self, box: Slices, sdf: np.ndarray, label: str, *, over: Iterable[str] | None = None) -> None:
        """Paint a signed distance (mm, positive inside) over an index box."""
        self._blend(box, np.clip(0.5 + sdf / np.float32(self.edge_mm), 0.0, 1.0), ORGANS[label], self._allowed(over))

    @staticmethod
    def _allowed(over: Iterable[str] | None) -> np.ndarray | None:
        if over is None:
            return None
        allowed = np.zeros(256, bool)
        allowed[[ORGANS[name] for name in over]] = True
        return allowed

    def _blend(self, box: Slices, cover: np.ndarray, label: int, allowed: np.ndarray | None) -> None:
        mask = cover > 0.02
        top_box = self.top[box]
        if allowed is not None:
            mask &= allowed[top_box]
        if not mask.any():
            return
        under_box, share_box = self.under[box], self.share[box]
        top, under, share = top_box[mask], under_box[mask], share_box[mask].astype(np.float32) / 255.0
        same = top == label
        cover = np.maximum(cover[mask], np.where(same, share, np.where(under == label, 1.0 - share, 0.0)))
        base = np.where(same, under, top)
        wins = cover >= 0.5
        top_box[mask] = np.where(wins, label, base)
        under_box[mask] = np.where(wins, base, label)
        share_box[mask] = np.round(255.0 * np.maximum(cover, 1.0 - cover)).astype(np.uint8)
