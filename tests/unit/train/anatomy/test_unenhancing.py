"""Un-enhanced pairs: known answers, and a target that is the real scan."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter

from s2ldm_core.phantom import ORGANS
from tests.tiny_anatomy import NAMES, SPACING_MM, contrast_ct, label_map, native_ct, write_image, write_subject
from train.anatomy import AnatomyError, AnatomyScan, find_subjects, make_anatomy_store, prepare, read_subject, sources
from train.anatomy.deformation import Deformation, sample_ct
from train.anatomy.names import CODES
from train.anatomy.unenhancing import unenhance
from train.errors import TrainError
from train.phantoms import PhantomGrid

SHAPE, GRID_MM = (12, 60, 84), (4.0, 4.0, 4.0)
FAT_HU, BLOOD_HU, NATIVE_HU = -100.0, 150.0, 40.0
PIXEL_MM = (2.0, 0.8, 0.8)


@pytest.fixture(scope="module")
def subject() -> Any:
    labels = label_map(20)
    return prepare("a", labels, NAMES, spacing_mm=SPACING_MM, ct_hu=contrast_ct(labels))


def _scan(subject: Any, seed: int = 4, **arguments: Any) -> AnatomyScan:
    return AnatomyScan(subject, seed=seed, mode="unenhanced", shape=SHAPE, spacing_mm=GRID_MM, **arguments)


def _cylinder() -> tuple[np.ndarray, np.ndarray]:
    """Structures of a vessel of 15 mm in fat, and the part of each voxel that is blood, its edge blurred."""
    y, x = np.meshgrid((np.arange(64) - 31.5) * 0.8, (np.arange(64) - 31.5) * 0.8, indexing="ij")
    inside = np.broadcast_to(np.hypot(y, x) < 7.5, (6, 64, 64))
    codes = np.where(inside, CODES["aorta"], CODES["visceral_fat"]).astype(np.uint8)
    return codes, gaussian_filter(inside.astype(np.float32), (0.0, 0.9, 0.9))


def test_a_blurred_cylinder_of_blood_becomes_native_with_the_same_edge() -> None:
    codes, part = _cylinder()
    scan = FAT_HU + part * (BLOOD_HU - FAT_HU)
    found = unenhance(codes, scan, spacing_mm=PIXEL_MM, phase="venous", native_hu={"blood": NATIVE_HU})
    wanted = FAT_HU + part * (NATIVE_HU - FAT_HU)
    np.testing.assert_allclose(scan - found.gain_hu(), wanted, atol=3.0)
    assert found.valid.all()


def test_unmixed_inflow_is_not_believed() -> None:
    codes, part = _cylinder()
    codes = np.where(codes == CODES["aorta"], CODES["left_ventricle"], codes).astype(np.uint8)
    scan = FAT_HU + part * (300.0 - FAT_HU)
    y, x = np.meshgrid((np.arange(64) - 31.5) * 0.8, (np.arange(64) - 31.5) * 0.8, indexing="ij")
    jet = np.broadcast_to(np.hypot(y, x) < 1.6, scan.shape)
    found = unenhance(codes, np.where(jet, 1100.0, scan), spacing_mm=PIXEL_MM, phase="arterial")
    gain = found.gain_hu()
    assert gain[jet].max() > 900.0  # it is taken out, as far as the scan shows it
    assert not found.valid[gain > 800.0].any()
    assert found.valid[(part > 0.99) & (gain < 320.0)].mean() > 0.9


def test_calcium_in_a_vessel_stays() -> None:
    codes, part = _cylinder()
    scan = FAT_HU + part * (BLOOD_HU - FAT_HU)
    scan[2:4, 30:35, 36:40] = 700.0
    found = unenhance(codes, scan, spacing_mm=PIXEL_MM, phase="venous", native_hu={"blood": NATIVE_HU})
    np.testing.assert_array_equal((scan - found.gain_hu())[2:4, 31:34, 37:39], 700.0)


def test_borders_moved_by_half_a_voxel_leave_the_depth_alone() -> None:
    codes, part = _cylinder()
    scan = FAT_HU + part * (BLOOD_HU - FAT_HU)
    found = unenhance(codes, scan, spacing_mm=PIXEL_MM, phase="venous")
    moved = found.gain_hu((0, 1, -1))
    np.testing.assert_allclose(moved[:, 28:36, 28:36], found.gain_hu()[:, 28:36, 28:36], atol=1.0)


def test_organs_become_native_and_fat_bone_and_noise_stay(subject: Any) -> None:
    scan = _scan(subject, strength=0.0)
    native, target = scan.native_hu(), scan.native_hu() + scan.change_hu("venous")
    for organ, hu in (("liver", 56), ("aorta", 42), ("portal_vein", 42)):
        inside = binary_erosion(scan.labels == ORGANS[organ])
        assert np.median(native[inside]) == pytest.approx(hu, abs=6), organ
        assert native[inside].std() > 4.0, organ
    fat = binary_erosion(scan.labels == ORGANS["subcutaneous_fat"], iterations=2)
    assert abs(scan.change_hu("venous")[fat]).mean() < 1.5
    assert abs(scan.change_hu("venous")[target > 260]).mean() < 5.0


def test_the_target_is_the_real_scan(subject: Any) -> None:
    scan = _scan(subject, seed=7)
    real = sample_ct(subject.scan_hu, Deformation(7).indices(scan.axes, subject))
    np.testing.assert_allclose(
        (scan.native_hu() + scan.change_hu("venous"))[scan.labels != 0], real[scan.labels != 0], atol=1e-3
    )
    assert scan.noise_hu() is None


@pytest.mark.parametrize("share", [0.75, 1.2])
def test_a_usual_dose_scales_the_enhancement_and_leaves_the_native_image(share: float) -> None:
    labels = label_map(20)
    native = native_ct(labels)
    weak = prepare("a", labels, NAMES, spacing_mm=SPACING_MM, ct_hu=native + share * (contrast_ct(labels) - native))
    assert weak.scan_phase == "venous"
    measured = weak.enhancement.measured_hu
    scanned, usual = _scan(weak), _scan(weak, dose="usual")
    factor = 110.0 / (0.5 * (measured["aorta"] + measured["portal_vein"]))
    assert scanned.dose == 1.0
    assert usual.dose == pytest.approx(factor)
    assert abs(factor - 1.0) > 0.05
    np.testing.assert_array_equal(usual.native_hu(), scanned.native_hu())
    np.testing.assert_allclose(usual.change_hu("venous"), factor * scanned.change_hu("venous"), rtol=1e-4, atol=1e-3)


def test_far_too_large_a_gain_is_brought_down_whatever_dose_is_asked_for() -> None:
    labels = label_map(20)
    native = native_ct(labels)
    strong = prepare("a", labels, NAMES, spacing_mm=SPACING_MM, ct_hu=native + 1.49 * (contrast_ct(labels) - native))
    strongest = max(strong.enhancement.measured_hu[name] for name in ("aorta", "portal_vein"))
    assert strongest > 170.0
    assert _scan(strong).dose == _scan(strong, dose="usual").dose == pytest.approx(170.0 / strongest)


def test_a_phase_that_is_not_in_the_scan_is_not_made_up(subject: Any) -> None:
    with pytest.raises(AnatomyError) as refusal:
        _scan(subject, strength=0.0).change_hu("arterial")
    assert refusal.value.code == "phase_not_scanned"
    assert "venous" in refusal.value.sentence


def test_the_same_arguments_give_the_same_pair(subject: Any) -> None:
    labels = label_map(20)
    again = prepare("a", labels, NAMES, spacing_mm=SPACING_MM, ct_hu=contrast_ct(labels))
    one, other = _scan(subject, seed=3), _scan(again, seed=3)
    np.testing.assert_array_equal(one.native_hu(), other.native_hu())
    np.testing.assert_array_equal(one.change_hu("venous"), other.change_hu("venous"))
    np.testing.assert_array_equal(one.valid(), other.valid())


def test_it_needs_a_contrast_ct() -> None:
    labels = label_map(8)
    native = prepare("a", labels, NAMES, spacing_mm=SPACING_MM, ct_hu=native_ct(labels))
    with pytest.raises(AnatomyError) as refusal:
        _scan(native)
    assert refusal.value.code == "no_contrast_ct"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A subject with a native CT, and a patient with a native and a venous scan, each with its map."""
    folder = tmp_path_factory.mktemp("tree")
    write_subject(folder / "plain")
    labels = label_map()
    for phase, ct in (("native", native_ct(labels) + 4.0), ("venous", contrast_ct(labels))):
        write_image(labels, folder / "patient" / f"seg_{phase}.nii.gz")
        write_image(ct.astype(np.int16), folder / "patient" / f"{phase}.nii.gz")
    names = {str(key): value for key, value in NAMES.items()}
    (folder / "patient" / "labels.json").write_text(json.dumps(names), encoding="utf-8")
    (folder / "patient" / "README.md").write_text("# A\nLicence of the images: CC BY 4.0. More.\n", encoding="utf-8")
    return folder


def test_each_phase_of_a_patient_is_a_subject_and_the_native_one_tells_its_hu(tree: Path) -> None:
    found = {files.name: files for files in find_subjects(tree)}
    assert set(found) == {"plain", "patient-native", "patient-venous"}
    subject = read_subject(found["patient-venous"])
    assert (subject.scan_phase, subject.ct_hu) == ("venous", None)
    assert subject.native_hu["liver"] == pytest.approx(62, abs=2)
    assert "CC BY 4.0" in subject.licence
    assert read_subject(found["patient-native"]).ct_hu is not None


def test_a_store_of_unenhanced_pairs_uses_contrast_scans_only(tree: Path, tmp_path: Path) -> None:
    grid = PhantomGrid(spacing_mm=(8.0, 6.0, 6.0), matrix=(40, 56), slices=(6, 8))
    make = {"anatomy": tree, "phases": ("arterial", "venous"), "grid": grid, "modes": "unenhanced"}
    names = list(make_anatomy_store(tmp_path, seeds=range(2), **make))
    (source,) = sources(tmp_path)
    assert source["anatomy"] == "patient-venous"
    assert source["cases"] == {"unenhanced": 2}
    record = json.loads((tmp_path / names[0] / "case.json").read_text())
    assert record["patient"] == "anatomy-of-patient"
    assert record["about"]["real_phase"] == "venous"
    assert record["about"]["dose"] == 1.0
    (usual,) = make_anatomy_store(tmp_path / "usual", seeds=range(1), dose="usual", **make)
    assert json.loads((tmp_path / "usual" / usual / "case.json").read_text())["about"]["dose"] != 1.0
    assert record["phases"] == ["venous"]
    valid = np.load(tmp_path / names[0] / "venous.valid.npy")
    assert valid.dtype == np.bool_
    assert valid.shape == np.load(tmp_path / names[0] / "native.npy").shape
    with pytest.raises(TrainError) as refusal:
        make_anatomy_store(tmp_path, seeds=[9], subjects=("plain",), **make)
    assert refusal.value.code == "no_contrast_ct"
    with pytest.raises(TrainError) as refusal:
        make_anatomy_store(tmp_path, seeds=[9], **{**make, "phases": ("arterial",)})
    assert refusal.value.code == "no_contrast_ct"
