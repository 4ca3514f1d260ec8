"""Where a crop begins, and the crop itself: cut straight out of a memory-mapped array, or turned and mirrored."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import affine_transform

from train.config import DataConfig, Triple

_AXES = {"up_down": 0, "front_back": 1, "left_right": 2}


def random_origin(rng: np.random.Generator, shape: tuple[int, ...], crop: Triple) -> tuple[int, ...]:
    """Where a crop begins: uniform over all places at which it fits, 0 along an axis that is shorter."""
    return tuple(int(rng.integers(max(0, n - c) + 1)) for n, c in zip(shape, crop, strict=True))


def origin_around(rng: np.random.Generator, voxel: np.ndarray, shape: tuple[int, ...], crop: Triple) -> tuple[int, ...]:
    """Where a crop begins that has ``voxel`` in its middle half, as far as it fits."""
    places = zip(voxel, shape, crop, strict=True)
    return tuple(int(np.clip(v - c // 4 - rng.integers(c - 2 * (c // 4)), 0, max(0, n - c))) for v, n, c in places)


def cut(array: np.ndarray, origin: tuple[int, ...], size: Triple) -> np.ndarray:
    """Crop of the last three axes as float32; an array smaller than the crop is continued with its edge, as translation pads."""
    z, y, x = (slice(o, o + s) for o, s in zip(origin, size, strict=True))
    part = array[..., z, y, x].astype(np.float32)
    missing = [(0, 0)] * (part.ndim - 3) + [(0, s - n) for s, n in zip(size, part.shape[-3:], strict=True)]
    return np.pad(part, missing, mode="edge") if any(m for _, m in missing) else part


class Pose(NamedTuple):
    """How the anatomy of a crop lies, alike in both phases and all masks."""

    degrees: float
    """Turned in the plane of the slices, about the middle of the crop."""
    flipped: tuple[int, ...]
    """Axes of ``(D, H, W)`` along which it is mirrored afterwards."""

    @classmethod
    def draw(cls, rng: np.random.Generator, config: DataConfig) -> "Pose":
        """Draws nothing for what is switched off, so that crops without it stay what they are."""
        degrees = rng.uniform(-config.rotation_degrees, config.rotation_degrees) if config.rotation_degrees else 0.0
        return cls(degrees, tuple(_AXES[name] for name in config.flip if rng.random() < 0.5))

    def cut(
        self,
        array: np.ndarray,
        origin: tuple[int, ...],
        size: Triple,
        *,
        spacing_mm: tuple[float, float, float],
        nearest: bool = False,
    ) -> np.ndarray:
        """As `cut`, of ``array (D, H, W)`` in this pose; ``nearest``: of labels and masks, whose values do not mix."""
        part = cut(array, origin, size) if not self.degrees else self._turned(array, origin, size, spacing_mm, nearest)
        return self.mirrored(part)

    def mirrored(self, part: np.ndarray) -> np.ndarray:
        """``part (D, H, W)`` with its axes flipped, contiguous."""
        return np.ascontiguousarray(np.flip(part, self.flipped)) if self.flipped else part

    def _turned(
        self,
        array: np.ndarray,
        origin: tuple[int, ...],
        size: Triple,
        spacing_mm: tuple[float, float, float],
        nearest: bool,
    ) -> np.ndarray:
        """Only the slices and the part of the plane that the turned crop needs are read."""
        angle, (_, dy, dx) = np.deg2rad(self.degrees), spacing_mm
        turn = np.array(
            [[np.cos(angle), -np.sin(angle) * dx / dy], [np.sin(angle) * dy / dx, np.cos(angle)]]
        )  # of indices: what turns millimetres
        half = (np.array(size[1:]) - 1) / 2
        middle = np.array(origin[1:]) + half
        reach = np.abs(turn) @ half
        first = np.clip(np.floor(middle - reach).astype(int) - 1, 0, np.array(array.shape[1:]) - 1)
        last = np.clip(np.ceil(middle + reach).astype(int) + 1, first, np.array(array.shape[1:]) - 1)
        rows, columns = (int(n) for n in last - first + 1)
        region = cut(array, (origin[0], *(int(n) for n in first)), (size[0], rows, columns))
        whole = np.eye(3)
        whole[1:, 1:] = turn
        offset = np.array([0.0, *(middle - first - turn @ half)])
        turned: np.ndarray = affine_transform(
            region, whole, offset=offset, output_shape=size, order=0 if nearest else 1, mode="nearest"
        )
        return turned
