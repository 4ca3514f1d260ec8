"""How often the truth lies within the intervals, tissue by tissue, and how wide they must be for it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from scipy.stats import t as student_t

from s2ldm_core.calibration import LEVELS
from s2ldm_core.intensity import unit_change_to_hu
from s2ldm_core.spread import SpreadNetwork
from s2ldm_core.tiling import TILE
from s2ldm_core.tissue_groups import GROUPS
from train.spread.answered import Answered

SpreadOf = Callable[[Answered], np.ndarray]
"""A case to the standard deviation of its error, ``(D, H, W)`` HU."""

_BINS: Final = 4000
_WIDEST: Final = 20.0
"""Standard deviations; errors beyond count as there."""
_FEWEST_VOXELS: Final = 2000
"""Of a tissue in all cases together, for it to be told."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What was measured, by phase and tissue: of each scan that has the tissue how many errors were how many standard deviations large,
    ``(scans, _BINS)`` in bins of `_WIDEST` / `_BINS`, and of all scans Σ e² and Σ σ² in HU²."""

    counts: Mapping[tuple[str, str], np.ndarray]
    squares: Mapping[tuple[str, str], np.ndarray]

    def within(self, half_widths: Sequence[float]) -> dict[str, dict[str, tuple[float, ...]]]:
        """Phase → tissue → share of its voxels with an error of at most so many standard deviations."""
        found: dict[str, dict[str, tuple[float, ...]]] = {}
        for (phase, tissue), counts in self.counts.items():
            shares = (_within(counts, width).sum() / counts.sum() for width in half_widths)
            found.setdefault(phase, {})[tissue] = tuple(round(float(share), 4) for share in shares)
        return found

    def doubt(self, half_widths: Sequence[float]) -> dict[str, dict[str, tuple[float, ...]]]:
        """Phase → tissue → half of the 95 % interval of what `within` says, were other scans of the kind measured; NaN of one scan.

        The errors of a tissue in one scan lie together, so that it is the scans that are independent: the variance is that of a ratio of
        sums over scans (Cochran, Sampling Techniques, 1977, eq. 2.46), the interval Student's.
        """
        found: dict[str, dict[str, tuple[float, ...]]] = {}
        for (phase, tissue), counts in self.counts.items():
            halves = (_half_interval(_within(counts, width), counts.sum(axis=1)) for width in half_widths)
            found.setdefault(phase, {})[tissue] = tuple(halves)
        return found

    def half_widths(self) -> tuple[float, float, float]:
        """Standard deviations within which `LEVELS` of the errors lie, every tissue of every phase counting alike."""
        cumulative = np.cumsum(np.mean([counts.sum(axis=0) / counts.sum() for counts in self.counts.values()], axis=0))
        half, eighty, most = (round(float((np.searchsorted(cumulative, q) + 1) * _WIDEST / _BINS), 4) for q in LEVELS)
        return half, eighty, most

    def root_mean_squares(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Phase → tissue → error and standard deviation, HU."""
        found: dict[str, dict[str, tuple[float, float]]] = {}
        for (phase, tissue), sums in self.squares.items():
            error, spread = np.sqrt(sums / self.counts[phase, tissue].sum())
            found.setdefault(phase, {})[tissue] = (round(float(error), 2), round(float(spread), 2))
        return found

    @property
    def ratio(self) -> float:
        """Root mean square error over that of the standard deviations: the geometric mean of every tissue of every phase."""
        return float(np.exp(np.mean([0.5 * np.log(error / variance) for error, variance in self.squares.values()])))


def measured(cases: Iterable[Answered], spread_of: SpreadOf) -> Coverage:
    """Of the voxels of ``cases`` that are judged and whose tissue is known."""
    counts: dict[tuple[str, str], list[np.ndarray]] = {}
    squares: dict[tuple[str, str], np.ndarray] = {}
    for one in cases:
        judged = np.isfinite(one.error_hu)
        error, spread, tissue = one.error_hu[judged].astype(np.float32), spread_of(one)[judged], one.tissue[judged]
        bins = np.minimum((np.abs(error) / spread * (_BINS / _WIDEST)).astype(np.int64), _BINS - 1)
        for number, name in enumerate(GROUPS):
            here = tissue == number
            if here.any():
                key = (one.phase, name)
                sums = [np.sum(np.square(values[here], dtype=np.float64)) for values in (error, spread)]
                counts.setdefault(key, []).append(np.bincount(bins[here], minlength=_BINS))
                squares[key] = squares.get(key, 0) + np.array(sums)
    told = {key: np.stack(found) for key, found in counts.items() if np.sum(found) >= _FEWEST_VOXELS}
    return Coverage(counts=told, squares={key: squares[key] for key in told})


def _within(counts: np.ndarray, width: float) -> np.ndarray:
    """``(scans,)``: errors of at most ``width`` standard deviations."""
    return counts[:, : round(width * _BINS / _WIDEST)].sum(axis=1)


def _half_interval(held: np.ndarray, all_of_them: np.ndarray) -> float:
    """Of Σ ``held`` / Σ ``all_of_them``, both ``(scans,)``."""
    scans = len(held)
    if scans < 2:
        return math.nan
    residual = held - all_of_them * (held.sum() / all_of_them.sum())
    error = math.sqrt(scans / (scans - 1) * float(np.square(residual).sum())) / float(all_of_them.sum())
    return float(student_t.ppf(0.975, scans - 1)) * error


def told_by(network: SpreadNetwork, *, phases: tuple[str, ...], window_hu: tuple[float, float]) -> SpreadOf:
    """What ``network`` says."""
    device = next(network.parameters()).device

    @torch.inference_mode()
    def spread_of(one: Answered) -> np.ndarray:
        phase = torch.tensor([phases.index(one.phase)], device=device)
        source, change = (
            torch.from_numpy(np.asarray(a, np.float32))[None, None].to(device) for a in (one.source, one.change)
        )
        found = network.predict(source, change, phase, tile=TILE)
        return unit_change_to_hu(found, window_hu=window_hu)[0, 0].cpu().numpy()

    return spread_of


def the_same(cases: Iterable[Answered]) -> SpreadOf:
    """The root mean square error of each phase everywhere: what a network has to beat."""
    sums: dict[str, np.ndarray] = {}
    for one in cases:
        error = one.error_hu[np.isfinite(one.error_hu)].astype(np.float64)
        sums[one.phase] = sums.get(one.phase, 0) + np.array([np.square(error).sum(), error.size])
    spread = {phase: float(np.sqrt(squares / count)) for phase, (squares, count) in sums.items()}
    return lambda one: np.full(one.source.shape, spread[one.phase], np.float32)
