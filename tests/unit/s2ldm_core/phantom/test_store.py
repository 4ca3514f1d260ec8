"""Pair stores and DICOM studies made from phantoms."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from s2ldm_core import read_volume
from train.config import DataConfig
from train.crops import CropSampler
from train.phantoms import PhantomGrid, case_name, make_store, write_dicom
from train.prepare.labels import read_labels
from train.prepare.maps import MapFile
from train.store import PairStore

GRID = PhantomGrid(spacing_mm=(12.0, 6.0, 6.0), matrix=(64, 64), slices=(8, 10))


def test_a_store_holds_native_noise_and_changes_and_is_continued_not_made_again(tmp_path: Path) -> None:
    assert list(make_store(tmp_path, seeds=[3], phases=("arterial",), grid=GRID)) == [case_name(3)]
    assert list(make_store(tmp_path, seeds=[3], phases=("arterial",), grid=GRID)) == []
    case = PairStore(tmp_path)[0]
    assert case.spacing_mm == GRID.spacing_mm
    assert case.native.shape == case.noise.shape == case.changes["arterial"].shape
    assert np.abs(case.noise).max() > 1
    assert case.changes["arterial"].max() > 100
    artery = case.labels == case.organs["iliac_artery"]
    assert case.changes["arterial"][artery].mean() > 100


def test_dicom_studies_hold_every_phase_on_one_frame_of_reference(tmp_path: Path) -> None:
    list(write_dicom(tmp_path, seeds=[3], phases=("venous",), grid=GRID))
    native, venous = (dcmread(next((tmp_path / case_name(3) / phase).glob("*"))) for phase in ("native", "venous"))
    assert native.FrameOfReferenceUID == venous.FrameOfReferenceUID
    assert native.SeriesInstanceUID != venous.SeriesInstanceUID


def test_breathing_moves_the_contrast_phases_and_not_the_native_one(tmp_path: Path) -> None:
    def stack(name: Any, phase: Any) -> Any:
        files = [dcmread(path) for path in (tmp_path / name / case_name(3) / phase).glob("*.dcm")]
        return np.stack(
            [file.pixel_array for file in sorted(files, key=lambda file: float(file.ImagePositionPatient[2]))]
        )

    list(write_dicom(tmp_path / "still", seeds=[3], phases=("venous",), grid=GRID))
    list(write_dicom(tmp_path / "breathes", seeds=[3], phases=("venous",), grid=GRID, breathing_mm=40.0))
    assert np.array_equal(stack("still", "native"), stack("breathes", "native"))
    assert np.abs(stack("still", "venous").astype(int) - stack("breathes", "venous")).max() > 100


def test_every_phase_comes_with_its_organs_where_they_lie_in_it(tmp_path: Path) -> None:
    grid = PhantomGrid(spacing_mm=(8.0, 5.0, 5.0), matrix=(72, 72), slices=(60, 60))
    list(write_dicom(tmp_path, seeds=[2], phases=("arterial",), grid=grid, breathing_mm=40.0))
    lungs = {}
    for phase in ("native", "arterial"):
        scan = read_volume(tmp_path / case_name(2) / phase)
        labels = read_labels(MapFile.beside(tmp_path / case_name(2) / phase / "labels.nii.gz"))
        lungs[phase] = labels.on(scan) == labels.organs["lung"]
        assert np.median(scan.hu[lungs[phase]]) < -700
        assert np.median(scan.hu[labels.on(scan) == labels.organs["liver"]]) > 30
    assert (lungs["native"] != lungs["arterial"]).sum() > 0.03 * lungs["native"].sum()


def test_a_patient_is_scanned_at_other_seconds_of_which_each_belongs_to_the_nearest_phase(tmp_path: Path) -> None:
    phases = ("arterial", "venous")
    list(make_store(tmp_path, seeds=[3], phases=phases, times=4, grid=GRID))
    case = PairStore(tmp_path)[0]
    assert len(case.changes) == len(case.seconds) == 6
    assert {name for phase in phases for name in case.showing(phase)} == set(case.changes)
    artery = case.labels == case.organs["iliac_artery"]
    peak = {name: float(case.changes[name][artery].mean()) for name in case.changes}
    for name, seconds in case.seconds.items():
        phase = name.split("@")[0]
        assert (seconds < (35.0 * 72.0) ** 0.5) == (phase == "arterial") or name in phases
        if "@" in name:
            assert name == f"{phase}@{seconds:g}s"
    early = min(case.seconds, key=lambda name: abs(case.seconds[name] - 30.0))
    late = max(case.seconds, key=lambda name: case.seconds[name])
    assert peak[early] > 1.5 * peak[late]
    batches = CropSampler(PairStore(tmp_path), DataConfig(store=tmp_path, crop=(4, 8, 8)), phases=phases, seed=0)
    drawn = [batches.batch(stage=0, step=step).condition for step in range(60)]
    seen = {(int(one.phase), round(float(one.value("seconds")), 1)) for one in drawn}
    assert seen == {(phases.index(name.split("@")[0]), round(at, 1)) for name, at in case.seconds.items()}
