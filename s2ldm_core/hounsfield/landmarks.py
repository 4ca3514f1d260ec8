"""Where air, fat and soft tissue lie in the values of one slice, whatever their unit."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

#: Values below are what scanners write outside the scanned field (-1500, -2000, -3024 …), not measurements.
OUTSIDE_HU = -1100.0
#: Highest value of a 12-bit CT number (PS3.3 C.8.2.1); metal alone lies above, on extended scales.
HIGHEST_HU = 3100.0
#: Between lung and fat: what is denser is tissue.
TISSUE_HU = -250.0
#: Denser than enhanced blood, mostly: bone, metal, stones, oral contrast.
DENSE_HU = 300.0

_FAT_HU = (-150.0, -50.0)
_SOFT_HU = (-50.0, 160.0)
_AIR_HU = -850.0

# So many pixels of a slice at most are looked at, evenly spread.
_SAMPLES = 16_384
_LEAST_PIXELS = 16
_BINS = 256
_SMOOTH_BINS = 1.5
_PEAK_BINS = 4
_PEAK_SHARE = 0.08
# A peak that is no background holds this share of what is not background.
_TISSUE_PEAK_SHARE = 0.15
# As part of the range of values: how far above the background tissue begins.
_ABOVE_BACKGROUND = 0.15
# A value within this part of the range of the highest one counts as equal to it.
_EQUAL = 0.002


@dataclass(frozen=True, kw_only=True)
class SliceValues:
    """What the values of a slice show; all in the unit the slice came in.

    Attributes
    ----------
    low, high
        0.5th and 99.5th percentile of what is measured (not below `OUTSIDE_HU`).
    least
        Smallest measured value.
    peaks
        Where many values lie close together, ascending: air, fat, soft tissue in a CT.
    background
        The lowest of the peaks; the smallest value where there is none.
    air_hu, fat_hu, soft_hu
        Where the values taken for air, fat and soft tissue by their HU lie; ``None`` where there are none.
    air, lung, fat, soft, dense
        Shares, 0..1, of the slice's measured pixels by HU.
    above
        Share above `HIGHEST_HU`.
    saturated
        Share of the tissue (above `TISSUE_HU`) that has the very highest value.
    """

    low: float
    high: float
    least: float
    peaks: tuple[float, ...]
    air_hu: float | None
    fat_hu: float | None
    soft_hu: float | None
    air: float
    lung: float
    fat: float
    soft: float
    dense: float
    above: float
    saturated: float

    @property
    def background(self) -> float:
        return self.peaks[0] if self.peaks else self.low

    @property
    def tissue(self) -> float:
        """Share above `TISSUE_HU`."""
        return 1.0 - self.air - self.lung


def slice_values(plane: np.ndarray) -> SliceValues | None:
    """Look at one slice.

    Parameters
    ----------
    plane
        ``(H, W)`` values, taken for HU; NaN is left out.

    Returns
    -------
    SliceValues or None
        ``None`` when nothing or a single value was measured.
    """
    rows = max(1, round(np.sqrt(plane.size / _SAMPLES)))
    values = plane[:: min(rows, plane.shape[0]), :: min(rows, plane.shape[1])].astype(np.float64).ravel()
    values = values[np.isfinite(values) & (values >= OUTSIDE_HU)]
    if values.size < _LEAST_PIXELS:
        return None
    low, high = (float(end) for end in np.percentile(values, (0.5, 99.5)))
    least, most = float(values.min()), float(values.max())
    if most <= least:
        return None
    tissue = values[values > TISSUE_HU]
    soft = values[(values > _SOFT_HU[0]) & (values < _SOFT_HU[1])]
    fat = values[(values > _FAT_HU[0]) & (values < _FAT_HU[1])]
    air = values[values < _AIR_HU]
    return SliceValues(
        low=low,
        high=high,
        least=least,
        peaks=_peaks(values, low, high),
        air_hu=_mode(air),
        fat_hu=_mode(fat),
        soft_hu=_mode(soft),
        air=air.size / values.size,
        lung=float(np.mean((values >= _AIR_HU) & (values <= TISSUE_HU))),
        fat=fat.size / values.size,
        soft=soft.size / values.size,
        dense=float(np.mean(values > DENSE_HU)),
        above=float(np.mean(values > HIGHEST_HU)),
        saturated=_saturated(tissue, most - _EQUAL * (most - least)),
    )


def _saturated(tissue: np.ndarray, highest: float) -> float:
    """Part of the tissue at the highest value, beside the one pixel that always has it."""
    return max(0, int(np.count_nonzero(tissue >= highest)) - 1) / tissue.size if tissue.size else 0.0


def _mode(values: np.ndarray) -> float | None:
    """Middle of the densest tenth of the values; ``None`` of fewer than eight."""
    if values.size < 8:
        return None
    ordered = np.sort(values)
    width = max(2, ordered.size // 10)
    start = int(np.argmin(ordered[width - 1 :] - ordered[: ordered.size - width + 1]))
    return float(ordered[start + width // 2])


def _peaks(values: np.ndarray, low: float, high: float) -> tuple[float, ...]:
    """The background's peak, then those of what lies above it."""
    if high <= low:
        return (low,)
    width = (high - low) / _BINS
    lowest = _peaks_of(values, low, high, width=width, share=_PEAK_SHARE)
    rest = values[values > lowest[0] + _ABOVE_BACKGROUND * (high - low)] if lowest else values[:0]
    if rest.size < _LEAST_PIXELS:
        return lowest[:1]
    start, end = (float(one) for one in np.percentile(rest, (0.5, 99.5)))
    return (lowest[0], *_peaks_of(rest, start, end, width=width, share=_TISSUE_PEAK_SHARE))


def _peaks_of(values: np.ndarray, low: float, high: float, *, width: float, share: float) -> tuple[float, ...]:
    """Maxima of the histogram whose surroundings hold a share of the values."""
    bins = max(1, math.ceil((high - low) / width))
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, max(high, low + width)))
    smooth = gaussian_filter1d(counts.astype(np.float64), _SMOOTH_BINS, mode="constant")
    mass = np.convolve(counts, np.ones(2 * _PEAK_BINS + 1), mode="full")[_PEAK_BINS : _PEAK_BINS + bins] / values.size
    top = (smooth == maximum_filter1d(smooth, 2 * _PEAK_BINS + 1, mode="constant")) & (mass >= share)
    return tuple(float(edges[at] + edges[at + 1]) / 2 for at in np.flatnonzero(top))
