"""Local means, noise and neighbourhoods of a scan, in voxels."""

from typing import Final

import numpy as np
from scipy import ndimage

CROSS: Final = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)
"""A voxel and its four neighbours in the slice."""


def local_mean(
    hu: np.ndarray, deep: np.ndarray, core: np.ndarray, sigma: list[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Local mean, the weight it rests on, and variance; voxels in the depth count twenty times those of the core around it."""
    weights = deep.astype(np.float32) + np.float32(0.05) * (core & ~deep)
    total = ndimage.gaussian_filter(weights, sigma, truncate=2.5)
    safe = np.maximum(total, np.float32(1e-4))
    mean = ndimage.gaussian_filter(hu * weights, sigma, truncate=2.5) / safe
    square = ndimage.gaussian_filter(hu * hu * weights, sigma, truncate=2.5) / safe
    return mean, total, np.maximum(square - mean * mean, 0.0)


def near(mask: np.ndarray, voxels: int) -> np.ndarray:
    """(D, H, W) bool: the mask with so many voxels around it in plane and a slice above and below."""
    out: np.ndarray = ndimage.binary_dilation(mask, CROSS, iterations=voxels)
    wide = out.copy()
    wide[1:] |= out[:-1]
    wide[:-1] |= out[1:]
    return wide


def noise(shape: tuple[int, ...], name: str, grain: float) -> np.ndarray:
    """Noise (D, H, W) of unit deviation whose grain is so many voxels in plane; the same for the same name."""
    rng = np.random.default_rng([len(name), *name.encode()])
    grained = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (0.4, grain, grain), mode="wrap")
    return np.asarray(grained / max(float(grained.std()), 1e-6), np.float32)


def body_box(codes: np.ndarray) -> tuple[slice, ...]:
    """The index box of what is not 0 in (D, H, W), all slices of it."""
    rows, columns = np.flatnonzero(codes.any(axis=(0, 2))), np.flatnonzero(codes.any(axis=(0, 1)))
    return slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
