"""When the phases of a registered pair were taken, from how much its organs gained: where no header tells.

The phantom's patients (`s2ldm_core.phantom.Patient`: cardiac output, dose, length of the injection) say how much each organ gains at every
second. How probable a time is, is how well an organ's gains at it fit, over all of these patients and doses; the phases of a study
share patient and dose. An organ is taken to be off by a fifth of its gain and by 8 HU, with the heavy tails of Student's t, so that one
badly outlined organ decides nothing. The seconds are as in `train.times`: of a usual patient.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from scipy.special import logsumexp

from train.evaluation.tables import counted
from train.metrics.organs import organ_cores
from train.store import Case
from train.times import DrawnPatient

FEWEST_VOXELS: Final = 100
"""Of an organ, more than 2 mm inside it, where the phase was measured: the mean of fewer is noise."""
FEWEST_ORGANS: Final = 3
"""The aorta alone rises and falls through every value, and a second organ may be the wrong one."""
WITHIN: Final = 0.9
"""Probability of the interval that is given."""
TISSUES: Final = (
    "aorta",
    "left_ventricle",
    "liver",
    "spleen",
    "pancreas",
    "renal_cortex",
    "renal_medulla",
    "portal_vein",
    "hepatic_vein",
    "ivc_infrarenal",
    "ivc_suprarenal",
    "myocardium",
    "thyroid",
    "muscle",
)
"""Large enough to have a core, and in a label map what they are in the phantom."""
_PATIENTS: Final = 96
_SECONDS: Final = np.concatenate([np.arange(15.0, 120.0), np.arange(120.0, 301.0, 5.0)])
_DOSES: Final = np.exp(np.linspace(np.log(0.4), np.log(2.5), 25))
_DOSE_SPREAD: Final = 0.5
"""Of the logarithm, before the organs are looked at: contrast medium is given by weight, and not by all alike."""
_OFF_PART, _OFF_HU, _FREEDOM = 0.2, 8.0, 4.0


class ScanTime(NamedTuple):
    """Of one phase of a case."""

    seconds: float
    """After the start of the injection: the median."""
    between: tuple[float, float]
    """What it lies between with the probability `WITHIN`."""
    dose: float
    """How much more the organs gained than of a usual dose: median."""
    organs: tuple[str, ...]
    """Those that told."""

    @property
    def certain(self) -> bool:
        """Whether it can be told to a model: the interval's end is no more than twice its beginning."""
        return self.between[1] <= 2.0 * self.between[0]


def scan_times(case: Case) -> dict[str, ScanTime]:
    """When each phase of ``case`` was taken; without those measured in fewer than `FEWEST_ORGANS` labelled organs of `TISSUES`."""
    gains = {phase: _gains(case, phase) for phase in sorted(case.changes) if "@" not in phase}
    gains = {phase: found for phase, found in gains.items() if len(found) >= FEWEST_ORGANS}
    if not gains:
        return {}
    fits = {phase: _fit(found) for phase, found in gains.items()}
    prior = -0.5 * np.square(np.log(_DOSES) / _DOSE_SPREAD)[None]
    # A phase's fit over all of its times, for each patient and dose: what it says of them to the other phases.
    overall = {phase: logsumexp(fit, axis=2) for phase, fit in fits.items()}
    together = prior + sum(overall.values())
    dose = _quantiles(logsumexp(together, axis=0), _DOSES, (0.5,))[0]
    found = {}
    for phase, fit in fits.items():
        weight = logsumexp(fit + (together - overall[phase])[:, :, None], axis=(0, 1))
        low, middle, high = _quantiles(weight, _SECONDS, (0.5 - WITHIN / 2, 0.5, 0.5 + WITHIN / 2))
        found[phase] = ScanTime(middle, (low, high), dose, tuple(gains[phase]))
    return found


def _gains(case: Case, phase: str) -> dict[str, float]:
    """Organ → mean change in HU of its core."""
    if case.labels is None:
        return {}
    cores = organ_cores(np.asarray(case.labels), spacing_mm=case.spacing_mm)
    if phase in case.valid:
        cores[~np.asarray(case.valid[phase])] = 0
    found = {}
    for organ in TISSUES:
        where = cores == case.organs[organ] if organ in case.organs else np.zeros(0, bool)
        if np.count_nonzero(where) >= FEWEST_VOXELS:
            found[organ] = float(case.changes[phase][where].mean(dtype=np.float64))
    return found


def _fit(gains: Mapping[str, float]) -> np.ndarray:
    """Log probability of these gains, and of a time before they are looked at (every ratio of seconds alike): (patients, doses, times)."""
    curves = _curves()
    fit = np.broadcast_to(np.log(np.gradient(_SECONDS) / _SECONDS), (_PATIENTS, len(_DOSES), len(_SECONDS))).copy()
    for organ, gain in gains.items():
        expected = _DOSES[None, :, None] * curves[organ][:, None]
        off = np.sqrt(np.square(_OFF_PART * expected) + _OFF_HU**2)
        fit -= np.log(off) + 0.5 * (_FREEDOM + 1) * np.log1p(np.square((gain - expected) / off) / _FREEDOM)
    return fit


@lru_cache(maxsize=1)
def _curves() -> dict[str, np.ndarray]:
    """Tissue → its HU in every patient at every time, (patients, times)."""
    patients = [DrawnPatient.of(seed) for seed in range(_PATIENTS)]
    curves = np.array([[one.enhancements(at, tissues=TISSUES) for at in _SECONDS] for one in patients])
    return {name: curves[:, :, number] for number, name in enumerate(TISSUES)}


def _quantiles(log_weights: np.ndarray, values: np.ndarray, shares: Sequence[float]) -> list[float]:
    weights = np.exp(log_weights - log_weights.max())
    below = np.cumsum(weights) - 0.5 * weights
    return [float(np.interp(share, below / weights.sum(), values)) for share in shares]


def table(found: Sequence[tuple[Case, Mapping[str, ScanTime]]]) -> str:
    """Markdown: every phase of every case, beside what its header told."""
    rows = [
        f"| case | phase | seconds | {WITHIN:.0%} lie between | dose | organs | in the case |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, times in found:
        for phase, one in times.items():
            told = f"{case.seconds[phase]:.0f}" if phase in case.seconds else ""
            low, high = one.between
            organs = ", ".join(one.organs)
            rows.append(
                f"| {case.name} | {phase} | {one.seconds:.0f} | {low:.0f} to {high:.0f} | {one.dose:.2f} | {organs} | {told} |"
            )
    return "\n".join(rows)


def medians(found: Sequence[tuple[Case, Mapping[str, ScanTime]]]) -> list[str]:
    """A line for each phase: the median of all patients', of each patient the median of his cases'."""
    patients: dict[str, dict[str, list[float]]] = {}
    for case, times in found:
        for phase, one in times.items():
            patients.setdefault(phase, {}).setdefault(case.patient, []).append(one.seconds)
    lines = []
    for phase, by_patient in sorted(patients.items()):
        each = [float(np.median(seconds)) for seconds in by_patient.values()]
        spread = "" if len(each) == 1 else f", {min(each):.0f} to {max(each):.0f}"
        lines.append(f"{phase}: {np.median(each):.0f} s ({counted(len(each), 'patient')}{spread})")
    return lines
