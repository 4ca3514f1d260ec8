"""Structural similarity (Wang et al., IEEE TIP 13:600, 2004) in 2-D (axial) and 3-D: scikit-image's, in bounded memory.

Gaussian window σ 1.5, 11 taps an axis, K1 0.01, K2 0.03, population covariance, data on [0, R] with data range R. Only windows wholly
inside the volume count.
"""

from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity as similarity_map

from train.metrics.window import PAPER_WINDOW_HU, Window, check_same_shape, from_zero

_RADIUS = 5
_TAPS = 2 * _RADIUS + 1
_SLAB = 16
"""Slices that hold the centres of 3-D windows filtered at a time: with their neighbours, about 800 MiB at 512 × 512."""


@dataclass(frozen=True, kw_only=True)
class StructuralSimilarity:
    """Mean SSIM in [-1, 1]; ``None`` where no window fits (fewer than 11 voxels along an axis, or no window's centre in the mask)."""

    axial: float | None
    """2-D windows of every axial slice."""
    axial_where: float | None
    """Of those, the windows whose centre is in the mask."""
    volume: float | None
    """3-D windows."""
    volume_where: float | None


def structural_similarity(
    prediction: np.ndarray,
    target: np.ndarray,
    *,
    where: np.ndarray | None = None,
    window_hu: Window = PAPER_WINDOW_HU,
) -> StructuralSimilarity:
    """SSIM of ``(D, H, W)`` HU clipped to the window, 2-D and 3-D, of everything and of the mask ``where``.

    Raises
    ------
    ValueError
        Shapes differ, or the window is empty.
    """
    check_same_shape(prediction, target, where)
    axial, solid = _Mean(), _Mean()
    if min(prediction.shape[1:]) >= _TAPS:
        slices = range(len(prediction))
        slabs = [slice(first, first + _SLAB + 2 * _RADIUS) for first in slices[: -2 * _RADIUS : _SLAB]]
        for mean, places in ((axial, slices), (solid, slabs)):
            for place in places:
                mean.add(
                    _index(prediction[place], target[place], window_hu), None if where is None else _inner(where[place])
                )
    return StructuralSimilarity(axial=axial.all, axial_where=axial.masked, volume=solid.all, volume_where=solid.masked)


class _Mean:
    """Running mean of SSIM maps, of all windows and of those with their centre in a mask."""

    def __init__(self) -> None:
        self._sums = [0.0, 0.0]
        self._counts = [0, 0]

    def add(self, values: np.ndarray, mask: np.ndarray | None) -> None:
        self._sums[0] += float(values.sum())
        self._counts[0] += values.size
        if mask is not None:
            self._sums[1] += float(values.sum(where=mask))
            self._counts[1] += int(np.count_nonzero(mask))

    @property
    def all(self) -> float | None:
        return self._sums[0] / self._counts[0] if self._counts[0] else None

    @property
    def masked(self) -> float | None:
        return self._sums[1] / self._counts[1] if self._counts[1] else None


def _index(prediction: np.ndarray, target: np.ndarray, window_hu: Window) -> np.ndarray:
    """The SSIM map of ``(H, W)`` or ``(d, H, W)`` HU where windows lie wholly inside, shorter by 10 along every axis."""
    _, index = similarity_map(
        from_zero(target, window_hu),
        from_zero(prediction, window_hu),
        data_range=window_hu[1] - window_hu[0],
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return _inner(index)


def _inner(array: np.ndarray) -> np.ndarray:
    return array[(slice(_RADIUS, -_RADIUS),) * array.ndim]
