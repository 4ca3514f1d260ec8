"""Structural similarity (Wang et al., IEEE TIP 13:600, 2004) in 2-D (axial) and 3-D, in one pass and bounded memory.

Gaussian window σ 1.5, 11 taps an axis, K1 0.01, K2 0.03, population covariance, data on [0, R] with data range R. Only windows wholly
inside the volume count, as in scikit-image (``gaussian_weights=True``), MONAI and torchmetrics.

Filtering is separable: a window of 11 × 11 × 11 costs 33 products a voxel instead of 1331, done as products with a banded matrix.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from train.metrics.window import PAPER_WINDOW_HU, Window, check_same_shape, from_zero

_SIGMA = 1.5
_RADIUS = 5
_TAPS = 2 * _RADIUS + 1
_K1, _K2 = 0.01, 0.03
# Wide enough for fast matrix products, narrow enough that few of the band's products are with its zeros.
_BAND = 32
_SLAB = 6
"""Slices filtered at a time: with what 3-D keeps of the ones before, about 330 MiB at 512 × 512."""


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
    volume: bool = True,
) -> StructuralSimilarity:
    """SSIM of ``(D, H, W)`` HU clipped to the window, 2-D and (with ``volume``) 3-D, of everything and of the mask ``where``.

    Raises
    ------
    ValueError
        Shapes differ, or the window is empty.
    """
    check_same_shape(prediction, target, where)
    range_hu = window_hu[1] - window_hu[0]
    axial, solid = _Mean(), _Mean()
    if min(prediction.shape[1:]) >= _TAPS:
        inside = None if where is None else where[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
        carried = np.empty((5, 0, prediction.shape[1] - 2 * _RADIUS, prediction.shape[2] - 2 * _RADIUS))
        for first, moments in _in_plane(prediction, target, window_hu):
            axial.add(_index(moments, range_hu), None if inside is None else inside[first : first + moments.shape[1]])
            if not volume:
                continue
            first -= carried.shape[1]
            moments = np.concatenate([carried, moments], axis=1)
            depth = moments.shape[1] - 2 * _RADIUS
            if depth > 0:
                centres = None if inside is None else inside[first + _RADIUS : first + _RADIUS + depth]
                solid.add(_index(_through_slices(moments), range_hu), centres)
            carried = moments[:, max(0, depth) :].copy()
    return StructuralSimilarity(axial=axial.all, axial_where=axial.masked, volume=solid.all, volume_where=solid.masked)


def ssim_axial(prediction: np.ndarray, target: np.ndarray, *, window_hu: Window = PAPER_WINDOW_HU) -> float:
    """Mean over axial slices of 2-D SSIM.

    Raises
    ------
    ValueError
        Slices are smaller than the window of 11 × 11.
    """
    return _some(structural_similarity(prediction, target, window_hu=window_hu, volume=False).axial, prediction.shape)


def ssim_volume(prediction: np.ndarray, target: np.ndarray, *, window_hu: Window = PAPER_WINDOW_HU) -> float:
    """Mean 3-D SSIM.

    Raises
    ------
    ValueError
        The volume is smaller than the window of 11 × 11 × 11.
    """
    return _some(structural_similarity(prediction, target, window_hu=window_hu).volume, prediction.shape)


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


def _in_plane(prediction: np.ndarray, target: np.ndarray, window_hu: Window) -> Iterator[tuple[int, np.ndarray]]:
    """Index of the first slice, and ``(5, d, H - 10, W - 10)`` local means of p, y, p², y², p·y of the slices from there."""
    for first in range(0, len(prediction), _SLAB):
        p = from_zero(prediction[first : first + _SLAB], window_hu)
        y = from_zero(target[first : first + _SLAB], window_hu)
        yield first, np.stack([_down_columns(_along_rows(image)) for image in (p, y, p * p, y * y, p * y)])


def _index(moments: np.ndarray, range_hu: float) -> np.ndarray:
    """The SSIM map of local means ``(5, …)``."""
    c1, c2 = (_K1 * range_hu) ** 2, (_K2 * range_hu) ** 2
    mean_p, mean_y, p_p, y_y, p_y = moments
    product, energy = mean_p * mean_y, mean_p * mean_p + mean_y * mean_y
    index: np.ndarray = (2 * product + c1) * (2 * (p_y - product) + c2) / ((energy + c1) * (p_p + y_y - energy + c2))
    return index


def _along_rows(x: np.ndarray) -> np.ndarray:
    """Valid filtering of the last axis of ``(d, H, W)``."""
    band = _band()
    count = x.shape[-1] - 2 * _RADIUS
    out = np.empty((*x.shape[:-1], count))
    flat, flat_out = x.reshape(-1, x.shape[-1]), out.reshape(-1, count)
    for start in range(0, count, _BAND):
        size = min(_BAND, count - start)
        np.matmul(
            flat[:, start : start + size + 2 * _RADIUS],
            band[: size + 2 * _RADIUS, :size],
            out=flat_out[:, start : start + size],
        )
    return out


def _down_columns(x: np.ndarray) -> np.ndarray:
    """Valid filtering of the second-last axis of ``(…, H, W)``."""
    band = np.ascontiguousarray(_band().T)
    count = x.shape[-2] - 2 * _RADIUS
    out = np.empty((*x.shape[:-2], count, x.shape[-1]))
    for start in range(0, count, _BAND):
        size = min(_BAND, count - start)
        part = x[..., start : start + size + 2 * _RADIUS, :]
        np.matmul(band[:size, : size + 2 * _RADIUS], part, out=out[..., start : start + size, :])
    return out


def _through_slices(moments: np.ndarray) -> np.ndarray:
    """Valid filtering of axis 1 of ``(5, d, h, w)``."""
    filtered = _down_columns(moments.reshape(*moments.shape[:2], -1))
    return filtered.reshape(len(moments), -1, *moments.shape[2:])


def _band() -> np.ndarray:
    """``(_BAND + 10, _BAND)``: column j holds the Gaussian from row j on."""
    taps = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    taps /= taps.sum()
    band = np.zeros((_BAND + 2 * _RADIUS, _BAND))
    for column in range(_BAND):
        band[column : column + _TAPS, column] = taps
    return band


def _some(value: float | None, shape: tuple[int, ...]) -> float:
    if value is None:
        raise ValueError(f"no SSIM window of {_TAPS} voxels an axis fits into {shape}")
    return value
