"""The pharmacokinetic model against HU measured in real patients.

Medians and robust standard deviations inside eroded TotalSegmentator labels of openly licensed CT: a native and a portal venous abdomen
(wasserth/TotalSegmentator, `tests/reference_files/example_ct.nii.gz` and `example_ct_dicom`), and an early arterial thorax with aortic
dissection (`tests/reference_files/aorta_report`).
"""

from dataclasses import replace

import numpy as np
import pytest

from s2ldm_core.phantom.kinetics import Kinetics
from s2ldm_core.phantom.patient import REFERENCE

NATIVE_HU = {
    "aorta": 44,
    "ivc_suprarenal": 42,
    "portal_vein": 41,
    "liver": 47,
    "spleen": 35,
    "pancreas": 38,
    "paraspinal": 22,
}
# The pancreas measured natively (6 HU) holds fat at 3 mm; 38 HU is parenchyma's.
PORTAL_HU = {
    "aorta": (153, 17),
    "ivc_suprarenal": (96, 13),
    "portal_vein": (137, 14),
    "liver": (93, 17),
    "spleen": (81, 17),
    "pancreas": (73, 20),
    "paraspinal": (32, 19),
}
EARLY_ARTERIAL_HU = {"aorta": (476, 38), "pulmonary_artery": (554, 34)}
BLOOD_HU = 43


class _Curves:
    """Enhancement without the individual spread: the mean of a dozen draws of the same circulation."""

    def __init__(self, **circulation: float) -> None:
        patient = replace(REFERENCE, **circulation)
        self._draws = [Kinetics(patient, seed=seed) for seed in range(12)]

    def __call__(self, organ: str, seconds: float) -> float:
        return float(np.mean([draw.enhancement(organ, seconds) for draw in self._draws]))


def test_one_circulation_explains_every_organ_of_the_portal_venous_scan() -> None:
    curves = _Curves(cardiac_output=7.5, injection_seconds=25.0)
    worst = {}
    for seconds in (56.0, 60.0, 64.0):
        for dose in (0.68, 0.72, 0.76):
            off = {
                organ: (NATIVE_HU[organ] + dose * curves(organ, seconds) - hu) / spread
                for organ, (hu, spread) in PORTAL_HU.items()
            }
            worst[seconds, dose] = max(abs(value) for value in off.values())
    assert min(worst.values()) < 1.5


def test_a_fast_injection_explains_aorta_and_pulmonary_artery_of_the_early_arterial_scan() -> None:
    curves = _Curves(cardiac_output=5.6, injection_seconds=20.0)
    # Iodine shows up to 1.7 times as bright at the low tube voltages of CT angiography.
    off = [
        max(
            abs((BLOOD_HU + gain * curves(organ, seconds) - hu) / spread)
            for organ, (hu, spread) in EARLY_ARTERIAL_HU.items()
        )
        for seconds in np.arange(20.0, 32.0)
        for gain in (1.7, 1.85, 2.0, 2.15)
    ]
    assert min(off) < 1.0


def test_contrast_passes_the_pulmonary_artery_before_the_aorta() -> None:
    curves = _Curves()
    assert curves("pulmonary_artery", 15.0) > 3 * curves("aorta", 15.0)
    assert curves("svc", 15.0) > curves("pulmonary_artery", 15.0)
    assert curves("aorta", 40.0) > 1.5 * curves("pulmonary_artery", 40.0)


@pytest.mark.parametrize(
    ("organ", "most_hu"),
    [("psoas", 15.0), ("paraspinal", 15.0), ("gluteal", 15.0), ("subcutaneous_fat", 2.5), ("cortical_bone", 8.0)],
)
@pytest.mark.parametrize("seconds", [35.0, 72.0])
def test_what_hardly_enhances_in_patients_hardly_enhances(organ: str, most_hu: float, seconds: float) -> None:
    assert 0 <= _Curves()(organ, seconds) < most_hu
