"""Whether the error of a mean grows with the standard deviation of what it is the mean of."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

EDGES_HU = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, math.inf)
"""Bins of the predicted standard deviation: fixed, so that cases can be added up."""

_SMALLEST_BIN = 50
_MOST_RANKED = 200_000


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Sums by bin of predicted standard deviation (`EDGES_HU`), over the body's voxels."""

    counts: tuple[int, ...]
    variance_hu2: tuple[float, ...]
    """Σ σ² by bin."""
    squared_error_hu2: tuple[float, ...]
    """Σ e² by bin, e the error of the samples' mean."""
    rank_correlation: float | None
    """Spearman's ρ of σ and |e| over voxels; mean over cases once added up."""
    cases: int = 1

    @property
    def rows(self) -> list[dict[str, float | int]]:
        """Bins with enough voxels: ``voxels``, root mean square ``predicted_hu`` (σ) and ``error_hu``."""
        return [
            {"voxels": n, "predicted_hu": math.sqrt(variance / n), "error_hu": math.sqrt(error / n)}
            for n, variance, error in zip(self.counts, self.variance_hu2, self.squared_error_hu2, strict=True)
            if n >= _SMALLEST_BIN
        ]

    @property
    def ratio(self) -> float | None:
        """Root mean square error over root mean square σ: 1 when the uncertainty accounts for all of the error, noise included."""
        variance = sum(self.variance_hu2)
        return math.sqrt(sum(self.squared_error_hu2) / variance) if variance > 0 else None


def calibrate(deviation: np.ndarray, error: np.ndarray, *, where: np.ndarray) -> Calibration:
    """Bin the error of the samples' mean by their standard deviation; ``(D, H, W)`` HU, over the voxels ``where`` is true."""
    counts = np.zeros(len(EDGES_HU) - 1, dtype=np.int64)
    variance, squared = np.zeros(len(counts)), np.zeros(len(counts))
    for sigma, e, mask in zip(deviation, error, where, strict=True):  # slice by slice, to bound memory
        s, values = sigma[mask].astype(np.float64), e[mask].astype(np.float64)
        index = np.searchsorted(EDGES_HU, s, side="right") - 1
        counts += np.bincount(index, minlength=len(counts))
        variance += np.bincount(index, weights=s * s, minlength=len(counts))
        squared += np.bincount(index, weights=values * values, minlength=len(counts))
    return Calibration(
        counts=tuple(int(n) for n in counts),
        variance_hu2=tuple(float(v) for v in variance),
        squared_error_hu2=tuple(float(v) for v in squared),
        rank_correlation=_rank_correlation(deviation, error, where),
    )


def pooled(parts: Iterable[Calibration]) -> Calibration:
    """Bins of several cases added up; the rank correlation is the cases' mean.

    Raises
    ------
    ValueError
        No case.
    """
    cases = list(parts)
    if not cases:
        raise ValueError("no case to pool")
    correlations = [case.rank_correlation for case in cases if case.rank_correlation is not None]
    return Calibration(
        counts=tuple(np.sum([case.counts for case in cases], axis=0).tolist()),
        variance_hu2=tuple(np.sum([case.variance_hu2 for case in cases], axis=0).tolist()),
        squared_error_hu2=tuple(np.sum([case.squared_error_hu2 for case in cases], axis=0).tolist()),
        rank_correlation=float(np.mean(correlations)) if correlations else None,
        cases=len(cases),
    )


def _rank_correlation(deviation: np.ndarray, error: np.ndarray, where: np.ndarray) -> float | None:
    from scipy.stats import spearmanr

    stride = max(1, where.size // (4 * _MOST_RANKED)) | 1  # odd: no multiple of a row, so that no column is preferred
    places = np.flatnonzero(where.ravel()[::stride]) * stride
    places = places[:: max(1, math.ceil(len(places) / _MOST_RANKED))]
    sigma, size = deviation.ravel()[places], np.abs(error.ravel()[places])
    if len(places) < _SMALLEST_BIN or np.ptp(sigma) == 0 or np.ptp(size) == 0:
        return None
    return float(spearmanr(sigma, size).statistic)
