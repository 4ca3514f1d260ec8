"""When the phases of a registered pair were taken and at what dose, from how much its organs gained: where no header tells.

The phantom's patients (`s2ldm_core.phantom.Patient`: cardiac output, length of the injection) say how much each organ gains at every
second at the usual dose. How probable a time is, is how well an organ's gains at it fit, over all of these patients and doses; the
phases of a study share patient and dose. An organ is taken to be off by a fifth of its gain and by 8 HU, with the heavy tails of
Student's t, so that one badly outlined organ decides nothing. The seconds are as in `train.times`: of a usual patient.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from scipy.special import logsumexp

from s2ldm_core import contrast_dose
from train.metrics.organs import organ_cores
from train.store import Case
from train.times import DrawnPatient

FEWEST_CORE_VOXELS: Final = 100
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
)
"""Large enough to have a core, and in a label map what they are in the phantom."""
_PATIENTS: Final = 96
_SECONDS: Final = (*(float(at) for at in range(15, 120)), *(float(at) for at in range(120, 301, 5)))
_DOSES: Final = np.geomspace(contrast_dose.LEAST, contrast_dose.MOST, 30)
_DOSE_SPREAD: Final = 0.5
"""Of the logarithm, before the organs are looked at: contrast medium is given by weight, and not by all alike."""
_OFF_PART, _OFF_HU, _FREEDOM = 0.2, 8.0, 4.0


class Told(NamedTuple):
    """What organs say of a value."""

    median: float
    between: tuple[float, float]
    """What it lies between with the probability `WITHIN`."""

    @property
    def certain(self) -> bool:
        """Whether it can be told to a model: the interval's end is no more than twice its beginning."""
        return self.between[1] <= 2.0 * self.between[0]

    def other_than(self, usual: float) -> bool:
        """Whether the interval leaves ``usual`` out."""
        return not self.between[0] <= usual <= self.between[1]


class Injection(NamedTuple):
    """How the phases of a case came about."""

    dose: Told
    """Contrast medium as a part of the usual."""
    seconds: Mapping[str, Told]
    """Phase → when it was taken, after the start of the injection; without those that are known."""
    organs: Mapping[str, tuple[str, ...]]
    """Phase → the organs that told."""


def injection(case: Case, *, known: Mapping[str, float] | None = None) -> Injection | None:
    """When each phase of ``case`` was taken, and at what dose; ``None`` where none was measured in `FEWEST_ORGANS` labelled organs.

    Phases that were not, beside one that was, are left out. ``known``: phase → seconds that are not asked, such as a protocol's, which
    leave the dose less open; seconds that the case has are known as well.
    """
    known = {**case.seconds, **(known or {})}
    if case.labels is None:
        return None
    # An organ that is all edge, such as a thin vein, has no core and tells nothing.
    cores = organ_cores(np.asarray(case.labels), spacing_mm=case.spacing_mm, fewest=0)
    gains = {phase: _gains(case, phase, cores=cores) for phase in sorted(case.changes) if "@" not in phase}
    gains = {phase: found for phase, found in gains.items() if len(found) >= FEWEST_ORGANS}
    if not gains:
        return None
    fits = {phase: _fit(found, seconds=known.get(phase)) for phase, found in gains.items()}
    prior = -0.5 * np.square(np.log(_DOSES) / _DOSE_SPREAD)[None]
    # A phase's fit over all of its times, for each patient and dose: what it says of them to the other phases.
    overall = {phase: logsumexp(fit, axis=2) for phase, fit in fits.items()}
    together = prior + sum(overall.values())
    of_others = {phase: (together - overall[phase])[:, :, None] for phase in fits}
    return Injection(
        dose=_told(logsumexp(together, axis=0), _DOSES),
        seconds={
            phase: _told(logsumexp(fit + of_others[phase], axis=(0, 1)), _SECONDS)
            for phase, fit in fits.items()
            if phase not in known
        },
        organs={phase: tuple(found) for phase, found in gains.items()},
    )


def _gains(case: Case, phase: str, *, cores: np.ndarray) -> dict[str, float]:
    """Organ → mean change in HU of its core, where that is large enough."""
    found = {}
    for organ in (name for name in TISSUES if name in case.organs):
        where = cores == case.organs[organ]
        if phase in case.valid:
            where &= np.asarray(case.valid[phase])
        if np.count_nonzero(where) >= FEWEST_CORE_VOXELS:
            found[organ] = float(case.changes[phase][where].mean(dtype=np.float64))
    return found


def _fit(gains: Mapping[str, float], *, seconds: float | None) -> np.ndarray:
    """Log probability of these gains, and of a time before they are looked at (every ratio of seconds alike): (patients, doses, times).

    With ``seconds`` there is that time alone.
    """
    before = np.log(np.gradient(_SECONDS) / _SECONDS) if seconds is None else np.zeros(1)
    curves = _curves(_SECONDS if seconds is None else (seconds,))
    fit = np.broadcast_to(before, (_PATIENTS, len(_DOSES), len(before))).copy()
    for organ, gain in gains.items():
        expected = _DOSES[None, :, None] * curves[organ][:, None]
        off = np.sqrt(np.square(_OFF_PART * expected) + _OFF_HU**2)
        fit -= np.log(off) + 0.5 * (_FREEDOM + 1) * np.log1p(np.square((gain - expected) / off) / _FREEDOM)
    return fit


@lru_cache(maxsize=1)
def _patients() -> tuple[DrawnPatient, ...]:
    return tuple(DrawnPatient.of(seed) for seed in range(_PATIENTS))


@lru_cache(maxsize=16)
def _curves(times: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Tissue → its HU in every patient at every time, at the usual dose: (patients, times)."""
    curves = np.array([[one.enhancements(at, tissues=TISSUES) / one.dose for at in times] for one in _patients()])
    return {name: curves[:, :, number] for number, name in enumerate(TISSUES)}


def _told(log_weights: np.ndarray, values: Sequence[float] | np.ndarray) -> Told:
    weights = np.exp(log_weights - log_weights.max())
    below = (np.cumsum(weights) - 0.5 * weights) / weights.sum()
    low, median, high = (float(np.interp(share, below, values)) for share in (0.5 - WITHIN / 2, 0.5, 0.5 + WITHIN / 2))
    return Told(median, (low, high))
