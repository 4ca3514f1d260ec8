"""How much each phase counts at a time between them, from the phantom's kinetics.

For drawn patients (cardiac output, dose, length of the injection; `s2ldm_core.phantom.Patient`) every tissue's enhancement at a time is
held against its enhancement in the phases: the weights are those of least squares over all of them. Left out is what contrast reaches
before the lungs (superior vena cava, right heart, pulmonary arteries), which empties when the injection ends: that no sum of two later
phases tells.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Self

import numpy as np

from s2ldm_core.phantom import Patient
from s2ldm_core.phantom.appearance import delay_seconds
from s2ldm_core.phantom.kinetics import Kinetics
from s2ldm_core.phantom.patient import REFERENCE
from s2ldm_core.times import Times
from train.errors import TrainError

PATIENTS: Final = 64
_GRID_SECONDS: Final = (*range(5, 90, 5), *range(90, 601, 30))
"""Enhancement changes fast in the first minute and a half."""


class Fit(NamedTuple):
    """The weights, and what they leave open."""

    times: Times
    between_hu: tuple[float, ...]
    """Root mean square over patients and tissues of what the sum is off by, at each of its seconds."""
    nearest_hu: tuple[float, ...]
    """The same of the phase whose enhancement is nearer."""


def fit_times(phases: Mapping[str, float], *, earliest: float, latest: float) -> Fit:
    """Weights for times from ``earliest`` to ``latest`` of a model whose ``phases`` were taken so many seconds after the injection's start.

    A phase's own time is one of the table's, and there it counts alone.

    Raises
    ------
    TrainError
        ``times_phases``: fewer than two phases, or two at one time; ``times_range``: the range is none.
    """
    if len(phases) < 2 or len(set(phases.values())) < len(phases):
        raise TrainError(
            "times_phases",
            "Between phases lies a time where there are two or more, each at its own.",
            "Give --seconds arterial=35 --seconds venous=72, or as the training data were taken.",
        )
    if not 0.0 < earliest < latest:
        raise TrainError(
            "times_range",
            f"Times from {earliest:g} to {latest:g} seconds are no range.",
            "Give --earliest and --latest in seconds after the start of the injection.",
        )
    between = (float(at) for at in (*_GRID_SECONDS, *phases.values()) if earliest < at < latest)
    seconds = sorted({float(earliest), float(latest), *between})
    patients = [DrawnPatient.of(seed) for seed in range(PATIENTS)]

    def enhancements(seconds: float) -> np.ndarray:
        return np.concatenate([patient.enhancements(seconds) for patient in patients])

    at_phases = np.stack([enhancements(at) for at in phases.values()], axis=1)
    weights, off, nearest = [], [], []
    for one in seconds:
        wanted = enhancements(one)
        found = np.linalg.lstsq(at_phases, wanted, rcond=None)[0]
        weights.append(found)
        off.append(_rms(at_phases @ found - wanted))
        nearest.append(min(_rms(column - wanted) for column in at_phases.T))
    columns = {
        phase: tuple(round(float(value), 3) + 0.0 for value in column)
        for phase, column in zip(phases, np.array(weights).T, strict=True)
    }
    return Fit(Times(seconds=tuple(seconds), weights=columns), tuple(off), tuple(nearest))


class DrawnPatient(NamedTuple):
    """Of the phantom's patients one, scanned as much earlier or later as its phases are."""

    kinetics: Kinetics
    delay_seconds: float
    dose: float
    """Iodine per kg of body weight, as a part of the usual."""

    @classmethod
    def of(cls, seed: int) -> Self:
        patient = Patient.draw(seed)
        return cls(
            Kinetics(patient, seed=seed),
            delay_seconds(patient),
            patient.iodine_mg_per_kg / REFERENCE.iodine_mg_per_kg,
        )

    def enhancements(self, seconds: float, *, tissues: Sequence[str] = ()) -> np.ndarray:
        """HU of ``tissues``, or of every one that is `Kinetics.systemic`."""
        at = seconds + self.delay_seconds
        return np.array([self.kinetics.enhancement(name, at) for name in tissues or self.kinetics.systemic])


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(difference**2)))


def table(fit: Fit) -> str:
    """Markdown: what each phase counts at each time, and what that leaves open."""
    phases = list(fit.times.weights)
    rows = [
        f"| seconds | {' | '.join(phases)} | off by HU | nearest phase off by HU |",
        "|" + "---|" * (len(phases) + 3),
    ]
    for number, seconds in enumerate(fit.times.seconds):
        weights = " | ".join(f"{fit.times.weights[phase][number]:.2f}" for phase in phases)
        rows.append(f"| {seconds:g} | {weights} | {fit.between_hu[number]:.1f} | {fit.nearest_hu[number]:.1f} |")
    return "\n".join(rows)
