"""Enhancement of every tissue over time: a small linear pharmacokinetic model.

The injected bolus (a box of the injection's length) passes the right heart and lungs (gamma-shaped transit), recirculates
with a distribution and an elimination term, and gives the arterial input a(t). Every tissue answers linearly:
E(t) = (h * a)(t), h a non-negative mixture of impulse responses (transit through blood vessels, leakage into and slow
return from the extravascular space). The mixture weights are fitted once to the table of the reference patient by
non-negative least squares; a patient's cardiac output, iodine dose and injection time then change a(t).
"""

from functools import lru_cache

import numpy as np
from scipy.optimize import nnls

from s2ldm_core.phantom.patient import REFERENCE, Patient, stream
from s2ldm_core.phantom.tissues import BLOOD, PHASE_SECONDS, TISSUES

STEP_SECONDS = 0.5
END_SECONDS = 900.0
_ARRIVAL_SECONDS = 13.0  # arm vein to ascending aorta at the reference cardiac output
_BEFORE_LUNGS = frozenset(
    {
        "svc",
        "brachiocephalic_vein_left",
        "brachiocephalic_vein_right",
        "right_atrium",
        "right_ventricle",
        "pulmonary_artery",
    }
)
_UNINJECTED = frozenset({"brachiocephalic_vein_right"})
_PORTAL = frozenset({"liver", "hepatic_vein"})


def _times() -> np.ndarray:
    return np.arange(0.0, END_SECONDS + STEP_SECONDS, STEP_SECONDS)


def _gamma(times: np.ndarray, *, mean: float, order: float) -> np.ndarray:
    """Return a gamma-shaped transit-time density with the given mean (s) that sums to one."""
    scale = mean / order
    kernel = np.where(times > 0, times, 0.0) ** (order - 1) * np.exp(-times / scale)
    return kernel / max(kernel.sum(), 1e-12)


def _convolve(signal: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    from scipy.signal import fftconvolve  # takes half a second, and most who import the phantom convolve nothing

    return np.maximum(fftconvolve(signal, kernel)[: len(signal)], 0.0)


def _inputs(patient: Patient) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return iodine (arbitrary units) over time at the injected vein, in mixed right-heart blood and in the aorta."""
    times = _times()
    pace = REFERENCE.cardiac_output / patient.cardiac_output
    dose = patient.iodine_mg_per_kg / REFERENCE.iodine_mg_per_kg
    box = ((times >= 0) & (times < patient.injection_seconds)) / patient.injection_seconds
    bolus = _convolve(box, _gamma(times, mean=3.5 * pace, order=6))
    # First pass: dilution in the cardiac output (indicator dilution: amplitude ~ dose rate / flow).
    vein = bolus * dose * pace**0.7 * REFERENCE.injection_seconds
    right = _convolve(vein, _gamma(times, mean=3.5 * pace, order=5))
    first = _convolve(right, _gamma(times, mean=(_ARRIVAL_SECONDS - 7.0) * pace, order=5))
    # Recirculation: systemic transit, then distribution (half a minute) and elimination (ten minutes).
    back = _convolve(first / max(pace**0.7, 1e-6), _gamma(times, mean=22.0 * pace, order=2.2))
    tail = (0.40 * np.exp(-times / 45.0) + 0.20 * np.exp(-times / 900.0)) * STEP_SECONDS / 30.0
    recirculated = _convolve(back, tail)
    return vein, right + recirculated, first + recirculated


def _supply(name: str) -> str:
    return "portal" if name in _PORTAL else "before lungs" if name in _BEFORE_LUNGS else "aorta"


def _bases(patient: Patient) -> dict[str, np.ndarray]:
    """Return the candidate answers (n, times) to the patient's bolus, by how a tissue is supplied."""
    times = _times()
    pace = REFERENCE.cardiac_output / patient.cardiac_output
    vein, right, aorta = _inputs(patient)
    answers = [_convolve(aorta, _gamma(times, mean=mean * pace, order=3)) for mean in (1.5, 5, 10, 16, 24, 36, 55)]
    answers += [_convolve(aorta, _gamma(times, mean=mean * pace, order=12)) for mean in (20, 35, 60, 130)]
    gut = _convolve(aorta, _gamma(times, mean=11 * pace, order=3))
    portal = [_convolve(gut, _gamma(times, mean=mean * pace, order=2)) for mean in (4, 8, 14, 24)]
    # The arm's veins empty slowly after the injection has ended.
    venous = [
        right,
        _convolve(vein, _gamma(times, mean=6.0, order=1.5)),
        _convolve(right, _gamma(times, mean=2.5 * pace, order=3)),
    ]
    for constant in (40.0, 150.0, 600.0):
        leak = np.exp(-times / constant) * STEP_SECONDS / 60.0
        source = _convolve(aorta, _gamma(times, mean=6 * pace, order=3))
        answers.append(_convolve(source, leak))
    return {
        "aorta": np.stack(answers),
        "portal": np.stack(answers + portal),
        # Contrast reaches the right heart before the aorta: of the aorta's answers only slow ones (recirculation) add to it.
        "before lungs": np.stack(venous + answers[4:7] + answers[-3:]),
    }


@lru_cache(maxsize=1)
def _mixtures() -> dict[str, np.ndarray]:
    """Fit the mixture of impulse responses of every tissue to the reference patient's table."""
    times = _times()
    seconds = np.array([10.0, *(PHASE_SECONDS[name] for name in ("arterial", "venous", "delayed"))])
    weight = np.array([0.15, 1.0, 1.0, 0.6])
    mixtures = {}
    bases = _bases(REFERENCE)
    for name, tissue in TISSUES.items():
        if not any(tissue.enhancement_hu):
            continue
        wanted = np.array([0.0, *tissue.enhancement_hu])
        # At 10 s the bolus is in the right heart already, and in no other tissue.
        counts = weight * (0.0 if _supply(name) == "before lungs" and name not in _UNINJECTED else 1.0, 1.0, 1.0, 1.0)
        basis = bases[_supply(name)]
        at = np.stack([np.interp(seconds, times, row) for row in basis], axis=1)
        scale = np.maximum(at.max(axis=0), 1e-9)
        # A faint preference for few terms keeps the curve smooth between the phases.
        system = np.vstack([at / scale * counts[:, None], 1e-3 * np.eye(len(scale))])
        solution, _ = nnls(system, np.concatenate([wanted * counts, np.zeros(len(scale))]))
        mixtures[name] = solution / scale
    return mixtures


class Kinetics:
    """Enhancement curves of one patient."""

    def __init__(self, patient: Patient, *, seed: int) -> None:
        rng = stream(seed, "kinetics")
        self._times = _times()
        self._curves: dict[str, np.ndarray] = {}
        common = float(np.exp(rng.normal(0, 0.05)))
        bases = _bases(patient)
        for name, mixture in _mixtures().items():
            spread = 0.03 if name in BLOOD else 0.1
            factor = common * float(np.exp(rng.normal(0, spread)))
            if name in {"svc", "brachiocephalic_vein_left", "brachiocephalic_vein_right"}:
                factor *= float(np.exp(rng.normal(0, 0.35)))
            self._curves[name] = factor * (mixture @ bases[_supply(name)])

    @property
    def systemic(self) -> tuple[str, ...]:
        """Tissues that enhance and are supplied by the aorta or the portal vein: contrast reaches them behind the lungs."""
        return tuple(name for name in self._curves if _supply(name) != "before lungs")

    def enhancement(self, name: str, seconds: float) -> float:
        """Return the enhancement (HU) of tissue `name` at `seconds` after the start of the injection."""
        curve = self._curves.get(name)
        if curve is None:
            return 0.0
        return float(np.interp(seconds, self._times, curve))
