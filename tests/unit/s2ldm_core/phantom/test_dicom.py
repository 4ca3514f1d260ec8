"""The phantom as a CT Image Storage series."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from s2ldm_core.io import read_volume
from s2ldm_core.phantom import Phantom
from s2ldm_core.phantom.dicom import write_series


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom(seed=9, matrix=(48, 40), slices=6, spacing_mm=(4.0, 8.0, 9.0), region="abdomen")


@pytest.fixture(scope="module")
def files(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(phantom, tmp_path_factory.mktemp("series"), noise_seed=1)


def test_series_reads_back_to_the_same_hu_and_grid(phantom: Phantom, files: list[Path]) -> None:
    volume = read_volume(files[0].parent)
    assert np.allclose(volume.affine, phantom.affine, atol=1e-4)
    assert np.abs(volume.hu - np.clip(phantom.hu("native", noise_seed=1), -1024, 3071)).max() <= 0.5


def test_uids_follow_from_the_arguments(phantom: Phantom, files: list[Path], tmp_path: Path) -> None:
    again = write_series(phantom, tmp_path, noise_seed=1)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


def test_phases_share_study_and_frame_of_reference(phantom: Phantom, files: list[Path], tmp_path: Path) -> None:
    native = pydicom.dcmread(files[0], stop_before_pixels=True)
    venous = pydicom.dcmread(write_series(phantom, tmp_path, phase="venous")[0], stop_before_pixels=True)
    assert native.StudyInstanceUID == venous.StudyInstanceUID
    assert native.FrameOfReferenceUID == venous.FrameOfReferenceUID
    assert native.SeriesInstanceUID != venous.SeriesInstanceUID
    assert "ContrastBolusAgent" in venous
    assert "ContrastBolusAgent" not in native


@pytest.mark.dciodvfy
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error(files: list[Path]) -> None:
    run = subprocess.run(["dciodvfy", str(files[0])], capture_output=True, text=True, check=False)
    assert "Error" not in run.stderr
