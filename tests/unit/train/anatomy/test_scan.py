"""Painted and simulated pairs: HU where they belong, and no change where there is none in patients."""

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from s2ldm_core.phantom import ORGANS, TISSUES
from tests.tiny_anatomy import NAMES, SPACING_MM, label_map, native_ct
from train.anatomy import AnatomyError, AnatomyScan, prepare
from train.anatomy.canvas import MapCanvas
from train.anatomy.simulated import enhanced_share

SHAPE, GRID_MM = (12, 60, 84), (4.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def subject() -> Any:
    labels = label_map(20)
    return prepare("a", labels, NAMES, spacing_mm=SPACING_MM, ct_hu=native_ct(labels))


@pytest.fixture(scope="module")
def painted(subject: Any) -> Any:
    return AnatomyScan(subject, seed=4, mode="painted", shape=SHAPE, spacing_mm=GRID_MM)


@pytest.fixture(scope="module")
def simulated(subject: Any) -> Any:
    return AnatomyScan(subject, seed=4, mode="simulated", shape=SHAPE, spacing_mm=GRID_MM)


def _inside(scan: Any, *organs: Any) -> Any:
    return binary_erosion(np.isin(scan.labels, [ORGANS[name] for name in organs]), iterations=1)


def test_a_painted_aorta_has_bloods_hu_and_the_kinetics_enhancement(painted: Any) -> None:
    aorta = _inside(painted, "aorta")
    assert aorta.sum() > 10
    assert painted.native_hu()[aorta].mean() == pytest.approx(10 + 78 * painted.patient.haematocrit, abs=4)
    wanted = painted.enhancement("aorta", "arterial")
    assert painted.change_hu("arterial")[aorta].mean() == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("mode", ["painted", "simulated"])
def test_fat_does_not_enhance_and_muscle_hardly(mode: str, painted: Any, simulated: Any) -> None:
    scan = painted if mode == "painted" else simulated
    for phase, most in (("arterial", 9.0), ("venous", 18.0)):
        change = scan.change_hu(phase)
        assert abs(change[_inside(scan, "subcutaneous_fat")]).mean() < 3.0
        assert 0.5 < change[_inside(scan, "oblique_muscles", "psoas")].mean() < most


def test_a_kidney_has_an_early_cortex_and_a_late_medulla(painted: Any) -> None:
    cortex = painted.labels == ORGANS["renal_cortex"]
    assert cortex.any()
    assert painted.enhancement("renal_cortex", "arterial") > 2 * painted.enhancement("renal_medulla", "arterial")
    assert painted.change_hu("arterial")[cortex].mean() > 40


def test_noise_is_apart_from_the_painted_image(painted: Any) -> None:
    noise = painted.noise_hu()
    assert noise.std() > 2
    np.testing.assert_array_equal(painted.native_hu(), painted.native_hu())


def test_a_simulated_scan_keeps_the_real_image_outside_organs(subject: Any) -> None:
    from train.anatomy.deformation import Deformation, sample_ct

    scan = AnatomyScan(subject, seed=7, mode="simulated", shape=SHAPE, spacing_mm=GRID_MM)
    axes = scan.axes
    ct = sample_ct(subject.ct_hu, Deformation(7).indices(axes, subject))
    muscle = binary_erosion(np.isin(scan.labels, [ORGANS["oblique_muscles"]]), iterations=1)
    np.testing.assert_allclose(scan.native_hu()[muscle], ct[muscle], atol=0.5)


def test_fat_under_an_organs_label_does_not_enhance(subject: Any) -> None:
    ct = subject.ct_hu.copy()
    ct[:, :, 20:24] = -110.0  # a cleft of fat through the liver's label
    cleft = prepare("a", label_map(20), NAMES, spacing_mm=SPACING_MM, ct_hu=ct)
    scan = AnatomyScan(cleft, seed=1, mode="simulated", shape=SHAPE, spacing_mm=GRID_MM, strength=0.0)
    fat = scan.native_hu() < -95
    liver = binary_erosion(scan.labels == ORGANS["liver"])
    change = scan.change_hu("venous")
    assert (fat & liver).sum() > 20
    assert change[fat & liver].mean() < 0.35 * change[liver & ~fat].mean()


@pytest.mark.parametrize(
    ("hu", "share"), [(-120.0, 0.0), (-36.5, 0.5), (12.0, 1.0), (60.0, 1.0), (185.0, 0.5), (400.0, 0.0)]
)
def test_the_share_that_enhances_follows_from_the_hu(hu: float, share: float) -> None:
    top = np.full((3, 8, 8), ORGANS["liver"], np.uint8)
    axes = tuple(np.arange(n) * 2.0 for n in top.shape)
    canvas = MapCanvas(axes, top=top, under=top.copy(), share=np.full(top.shape, 255, np.uint8))
    found = enhanced_share(canvas, np.full(top.shape, hu, np.float32), seed=0)
    np.testing.assert_allclose(found, share, atol=1e-3)


def test_a_simulated_scan_needs_a_native_ct() -> None:
    without = prepare("a", label_map(8), NAMES, spacing_mm=SPACING_MM)
    with pytest.raises(AnatomyError) as refusal:
        AnatomyScan(without, seed=1, mode="simulated", shape=SHAPE, spacing_mm=GRID_MM)
    assert refusal.value.code == "no_native_ct"


def test_the_same_seed_gives_the_same_pair(subject: Any, painted: Any) -> None:
    again = AnatomyScan(subject, seed=4, mode="painted", shape=SHAPE, spacing_mm=GRID_MM)
    np.testing.assert_array_equal(again.native_hu(), painted.native_hu())
    np.testing.assert_array_equal(again.change_hu("venous"), painted.change_hu("venous"))


def test_labels_are_tissues_of_the_phantom(painted: Any, simulated: Any) -> None:
    known = {tissue.label for tissue in TISSUES.values()}
    assert set(np.unique(painted.labels)) <= known
    assert set(np.unique(simulated.labels)) <= known
