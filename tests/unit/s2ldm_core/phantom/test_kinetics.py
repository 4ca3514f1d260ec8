"""Enhancement over time."""

from dataclasses import replace

import numpy as np
import pytest

from s2ldm_core.phantom.kinetics import Kinetics
from s2ldm_core.phantom.patient import REFERENCE, Patient
from s2ldm_core.phantom.tissues import PHASE_SECONDS, TISSUES


@pytest.fixture(scope="module")
def population() -> list[Kinetics]:
    return [Kinetics(replace(REFERENCE), seed=seed) for seed in range(12)]


def _mean(population: list[Kinetics], organ: str, seconds: float) -> float:
    return float(np.mean([kinetics.enhancement(organ, seconds) for kinetics in population]))


@pytest.mark.parametrize(
    "organ",
    [
        "aorta",
        "pulmonary_artery",
        "left_ventricle",
        "portal_vein",
        "liver",
        "spleen",
        "renal_cortex",
        "renal_medulla",
        "pancreas",
        "thyroid",
        "hepatic_vein",
        "ivc_infrarenal",
        "iliac_vein",
    ],
)
@pytest.mark.parametrize("phase", ["arterial", "venous"])
def test_mean_enhancement_meets_the_table(population: list[Kinetics], organ: str, phase: str) -> None:
    wanted = TISSUES[organ].enhancement_hu[0 if phase == "arterial" else 1]
    assert _mean(population, organ, PHASE_SECONDS[phase]) == pytest.approx(wanted, rel=0.2, abs=10.0)


def test_muscle_enhances_little(population: list[Kinetics]) -> None:
    assert 2 < _mean(population, "psoas", 35.0) < 9
    assert 7 < _mean(population, "psoas", 72.0) < 17


def test_nothing_enhances_before_the_bolus_arrives(population: list[Kinetics]) -> None:
    assert _mean(population, "aorta", 3.0) < 1.0
    assert _mean(population, "liver", 10.0) < 2.0


def test_portal_vein_peaks_after_the_aorta(population: list[Kinetics]) -> None:
    seconds = np.arange(10.0, 150.0, 1.0)
    peak = {
        n: seconds[np.argmax([_mean(population, n, s) for s in seconds])] for n in ("aorta", "portal_vein", "liver")
    }
    assert peak["aorta"] + 8 < peak["portal_vein"]
    assert peak["aorta"] + 15 < peak["liver"]


@pytest.mark.parametrize("organ", ["aorta", "liver", "renal_cortex", "brachiocephalic_vein_left"])
def test_curves_are_continuous(population: list[Kinetics], organ: str) -> None:
    seconds = np.arange(0.0, 400.0, 0.25)
    curve = np.array([population[0].enhancement(organ, s) for s in seconds])
    assert np.all(curve >= 0)
    assert np.abs(np.diff(curve)).max() < 0.05 * curve.max()


def test_fat_and_cysts_do_not_enhance(population: list[Kinetics]) -> None:
    assert _mean(population, "subcutaneous_fat", 72.0) < 2.0
    assert _mean(population, "cyst", 72.0) == 0.0


def test_low_cardiac_output_enhances_the_aorta_later_and_longer() -> None:
    slow = Kinetics(replace(REFERENCE, cardiac_output=3.6), seed=1)
    fast = Kinetics(replace(REFERENCE, cardiac_output=8.0), seed=1)
    assert slow.enhancement("aorta", 18.0) < fast.enhancement("aorta", 18.0)
    assert max(slow.enhancement("aorta", s) for s in range(90)) > max(fast.enhancement("aorta", s) for s in range(90))


def test_patients_are_drawn_within_their_ranges() -> None:
    patients = [Patient.draw(seed) for seed in range(200)]
    assert {p.sex for p in patients} == {"F", "M"}
    assert all(148 <= p.height_cm <= 195 and 17 <= p.bmi <= 42 and 0 <= p.visceral_fat <= 1 for p in patients)
    assert np.std([p.bmi for p in patients]) > 3
