"""The HU window of clipped metrics. The range R is the window's width: fixed, never taken from an image."""

import numpy as np

Window = tuple[float, float]

PAPER_WINDOW_HU: Window = (-200.0, 200.0)
"""Window width 400, level 0 (arXiv 2406.13977, section 3.1). It hides what the arterial aorta does: report unclipped errors beside it."""

SLAB_VOXELS = 4 * 1024 * 1024
"""Voxels worked on at a time: 32 MiB of float64, so that no metric needs a double-precision copy of a whole volume."""


def slabs(shape: tuple[int, ...]) -> list[slice]:
    """Consecutive slices of the first axis, each of about `SLAB_VOXELS`."""
    step = max(1, SLAB_VOXELS // max(1, int(np.prod(shape[1:]))))
    return [slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


def from_zero(hu: np.ndarray, window_hu: Window) -> np.ndarray:
    """HU clipped to the window and shifted to [0, R], float64.

    SSIM's luminance term is not invariant to a shift: [-1, 1] and [0, 1] give different values for the same images.

    Raises
    ------
    ValueError
        When the window's upper bound is not above its lower one.
    """
    low, high = window_hu
    if not low < high:
        raise ValueError(f"window_hu must run from lower to higher HU, not {window_hu}")
    return np.clip(hu, low, high).astype(np.float64) - low


def check_same_shape(prediction: np.ndarray, target: np.ndarray, where: np.ndarray | None = None) -> None:
    """Raise ``ValueError`` unless all are ``(D, H, W)`` of one shape: broadcasting would hide a mistake."""
    shapes = {np.shape(array) for array in (prediction, target, where) if array is not None}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise ValueError(f"prediction, target and mask must be (D, H, W) of one shape, not {sorted(shapes)}")
