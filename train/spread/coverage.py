"""How often the truth lies within the intervals, tissue by tissue, and how wide they must be for it."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from scipy.stats import trim_mean

from s2ldm_core.calibration import LEVELS
from s2ldm_core.intensity import unit_change_to_hu
from s2ldm_core.spread import SpreadNetwork
from s2ldm_core.tiling import TILE
from s2ldm_core.tissue_groups import GROUPS
from train.evaluation.statistics import estimate
from train.spread.answered import Answered

SpreadOf = Callable[[Answered], np.ndarray]
"""A case to the standard deviation of its error, ``(D, H, W)`` HU."""

_BINS: Final = 4000
_WIDEST: Final = 20.0
"""Standard deviations; errors beyond count as there."""
_TRIMMED: Final = 0.2
_FEWEST_VOXELS: Final = 200
"""Of a tissue in a scan, for the scan to count."""
_FEWEST_SCANS: Final = 5
"""Of a tissue, or all there are, for it to be told: what a few scans hold by chance (consolidated lung) sets no width."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What was measured, by phase and tissue: of each scan that has the tissue how many errors were how many standard deviations large,
    ``(scans, _BINS)`` in bins of `_WIDEST` / `_BINS`, and of all of them Σ e² and Σ σ² in HU²."""

    counts: Mapping[tuple[str, str], np.ndarray]
    patients: Mapping[tuple[str, str], Sequence[str]]
    """Of each of those scans whose it is; of deformations of one map that map's."""
    squares: Mapping[tuple[str, str], np.ndarray]

    def within(self, half_widths: Sequence[float]) -> dict[str, dict[str, tuple[float, ...]]]:
        """Phase → tissue → share of its voxels with an error of at most so many standard deviations: the mean over scans."""
        found: dict[str, dict[str, tuple[float, ...]]] = {}
        for (phase, tissue), counts in self.counts.items():
            shares = (_shares(counts, width).mean() for width in half_widths)
            found.setdefault(phase, {})[tissue] = tuple(round(float(share), 4) for share in shares)
        return found

    def doubt(self, half_widths: Sequence[float]) -> dict[str, dict[str, tuple[float, ...]]]:
        """Phase → tissue → half of the 95 % interval of what `within` says; NaN of one patient.

        The errors of a tissue in one patient lie together, so that it is patients that are independent, neither voxels nor scans.
        """
        found: dict[str, dict[str, tuple[float, ...]]] = {}
        for key, counts in self.counts.items():
            halves = (_half_interval(_shares(counts, width), self.patients[key]) for width in half_widths)
            found.setdefault(key[0], {})[key[1]] = tuple(halves)
        return found

    def half_widths(self) -> tuple[float, float, float]:
        """Standard deviations within which `LEVELS` of the errors lie: of what each tissue needs the mean without the fifth that needs most
        and the fifth that needs least.

        What is wrong everywhere in the same way, as a vein is that no native scan shows, needs many times the others' width.
        """
        alike = [(counts / counts.sum(axis=1, keepdims=True)).mean(axis=0).cumsum() for counts in self.counts.values()]
        bins = ([np.searchsorted(held, level) + 1 for held in alike] for level in LEVELS)
        half, eighty, most = (round(float(trim_mean(each, _TRIMMED)) * _WIDEST / _BINS, 4) for each in bins)
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
    patients: dict[tuple[str, str], list[str]] = {}
    squares: dict[tuple[str, str], np.ndarray] = {}
    scans: Counter[str] = Counter()
    for one in cases:
        scans[one.phase] += 1
        judged = np.isfinite(one.error_hu)
        error, spread, tissue = one.error_hu[judged].astype(np.float32), spread_of(one)[judged], one.tissue[judged]
        bins = np.minimum((np.abs(error) / spread * (_BINS / _WIDEST)).astype(np.int64), _BINS - 1)
        for number, name in enumerate(GROUPS):
            here = tissue == number
            if np.count_nonzero(here) >= _FEWEST_VOXELS:
                key = (one.phase, name)
                sums = [np.sum(np.square(values[here], dtype=np.float64)) for values in (error, spread)]
                counts.setdefault(key, []).append(np.bincount(bins[here], minlength=_BINS))
                patients.setdefault(key, []).append(one.patient)
                squares[key] = squares.get(key, 0) + np.array(sums)
    told = {
        (phase, tissue): np.stack(found)
        for (phase, tissue), found in counts.items()
        if len(found) >= min(_FEWEST_SCANS, scans[phase])
    }
    return Coverage(
        counts=told,
        patients={key: patients[key] for key in told},
        squares={key: squares[key] for key in told},
    )


def _shares(counts: np.ndarray, width: float) -> np.ndarray:
    """``(scans,)``: of the errors of each those of at most ``width`` standard deviations."""
    return np.asarray(counts[:, : round(width * _BINS / _WIDEST)].sum(axis=1) / counts.sum(axis=1))


def _half_interval(shares: np.ndarray, patients: Sequence[str]) -> float:
    """Of the mean of ``(scans,)``."""
    found = estimate(shares.tolist(), patients)
    return math.nan if found is None or found.high is None else found.high - found.value


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
