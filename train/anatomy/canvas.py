"""The phantom's canvas over a subject's structures, in the made-up patient's own millimetres."""

import numpy as np
from scipy import ndimage

from s2ldm_core.phantom import ORGANS
from s2ldm_core.phantom.canvas import Canvas, Slices
from s2ldm_core.phantom.fields import Axes
from s2ldm_core.phantom.warp import Warp


class Unwarped(Warp):
    """World and atlas are the same: what is painted over a subject's map is already where the deformation took it."""

    def __init__(self) -> None:
        self.scale = np.ones(3)

    def atlas(self, axes: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        z, y, x = np.meshgrid(*(np.asarray(axis, np.float32) for axis in axes), indexing="ij", copy=False)
        return z, y, x

    def world(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(points, float)

    def world_bounds(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(low, float), np.asarray(high, float)


class MapCanvas(Canvas):
    """A canvas whose first coat is a subject's structures.

    Attributes
    ----------
    structures : (D, H, W) uint8, the structure (`train.anatomy.names.CODES`) that covers most of each voxel; painting leaves it alone.
    """

    def __init__(self, axes: Axes, *, top: np.ndarray, under: np.ndarray, share: np.ndarray) -> None:
        super().__init__(axes, Unwarped(), {})
        self.structures = top.copy()
        self.top, self.under, self.share = top, under, share
        self.spacing_mm = tuple(float(axis[1] - axis[0]) if len(axis) > 1 else 1.0 for axis in axes)

    def recode(self, table: np.ndarray) -> None:
        """Replace every structure by a tissue: table (256,) uint8."""
        self.top, self.under = table[self.top], table[self.under]

    def clear(self, mask: np.ndarray) -> None:
        """Make air of a mask's voxels."""
        self.top[mask], self.under[mask], self.share[mask] = 0, 0, 255
        self.structures[mask] = 0

    def is_(self, *names: str) -> np.ndarray:
        """(D, H, W) bool: covered mostly by one of these tissues."""
        return np.isin(self.top, [ORGANS[name] for name in names])

    def depth(self, mask: np.ndarray) -> tuple[Slices, np.ndarray] | None:
        """The box of a mask with a margin, and in it the depth (mm) below the mask's surface; None when it is empty.

        The first and last slice are no surface: the body goes on beyond them.
        """
        found = ndimage.find_objects(mask.astype(np.uint8))
        if not found or found[0] is None:
            return None
        box = tuple(slice(max(0, b.start - 2), min(n, b.stop + 2)) for b, n in zip(found[0], mask.shape, strict=True))
        part = np.pad(mask[box], ((1, 1), (0, 0), (0, 0)), mode="edge")
        depth = ndimage.distance_transform_edt(part, sampling=self.spacing_mm)[1:-1].astype(np.float32)
        # Distances count from the neighbour's centre, half a voxel outside the surface.
        depth -= np.float32(0.5 * self.spacing_mm[1])
        return (box[0], box[1], box[2]), depth

    def within(self, mask: np.ndarray, distance_mm: float) -> np.ndarray:
        """(D, H, W) bool: what lies nearer than a distance to a mask, itself included."""
        near = np.zeros_like(mask)
        found = ndimage.find_objects(mask.astype(np.uint8))
        if found and found[0] is not None:
            reach = [int(np.ceil(distance_mm / step)) for step in self.spacing_mm]
            box = tuple(slice(max(0, b.start - r), b.stop + r) for b, r in zip(found[0], reach, strict=True))
            near[box] = ndimage.distance_transform_edt(~mask[box], sampling=self.spacing_mm) < distance_mm
        return near

    def world(self, index: np.ndarray) -> np.ndarray:
        """World (z, y, x) mm of voxel indices (n, 3)."""
        return np.stack([np.asarray(self.axes[axis])[index[:, axis]] for axis in range(3)], axis=1)

    def grid_of(self, box: Slices) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates (mm) along z, y, x of a box, each broadcastable to it."""
        z, y, x = (np.asarray(axis, np.float32)[b] for axis, b in zip(self.axes, box, strict=True))
        return z[:, None, None], y[None, :, None], x[None, None, :]
