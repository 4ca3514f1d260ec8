"""Simulated enhancement in a real native abdomen (real data, skipped where it is absent)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from s2ldm_core.phantom import ORGANS
from train.anatomy import AnatomyScan, Subject, find_subjects, read_subject

pytestmark = pytest.mark.real_data
MUSCLES = ("psoas", "paraspinal", "gluteal", "oblique_muscles")


@pytest.fixture(scope="module")
def subject(real_data: Path) -> Subject:
    files = {found.name: found for found in find_subjects(real_data / "anatomy")}
    return read_subject(files["ts-native-abdomen-pelvis"])


@pytest.fixture(scope="module")
def scan(subject: Subject) -> AnatomyScan:
    return AnatomyScan(
        subject, seed=12, mode="simulated", shape=(30, 100, 124), spacing_mm=(9.0, 3.0, 3.0), strength=0.3
    )


def test_the_subject_has_its_native_ct_and_licence(subject: Subject) -> None:
    assert subject.ct_hu is not None
    assert "Apache-2.0" in subject.licence
    assert np.count_nonzero(subject.codes) > 0.3 * subject.codes.size


@pytest.mark.parametrize(
    ("phase", "aorta", "liver", "muscle"),
    [("arterial", (140, 380), (5, 40), 15.0), ("venous", (65, 160), (30, 85), 18.0)],
)
def test_vessels_and_organs_enhance_and_muscle_fat_and_bone_do_not(
    scan: AnatomyScan, phase: str, aorta: Any, liver: Any, muscle: float
) -> None:
    change, native = scan.change_hu(phase), scan.native_hu()

    def inside(*organs: str) -> np.ndarray:
        return change[binary_erosion(np.isin(scan.labels, [ORGANS[name] for name in organs]), iterations=1)]

    assert aorta[0] < np.median(inside("aorta")) < aorta[1]
    assert liver[0] < np.median(inside("liver")) < liver[1]
    for name in MUSCLES:
        assert abs(inside(name)).mean() < muscle, name
    assert abs(change[native < -90]).mean() < 3.0
    assert abs(change[native > 300]).mean() < 12.0
