"""Enhanced multi-frame CT through ``s2ldm-node translate``: one derived instance a frame, or a true reason."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.config import Route
from dicom_node.convert import translate_path
from dicom_node.derive.marks import Mark
from dicom_node.series import examine_series
from s2ldm_core.io import read_volume
from s2ldm_core.phantom import Phantom
from s2ldm_core.phantom.dicom import write_series
from tests.enhanced_ct import enhanced_ct
from tests.tiny_model import write_tiny_package

GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    phantom = Phantom(seed=20_001, matrix=(96, 96), slices=12, region="abdomen")
    return write_series(phantom, tmp_path_factory.mktemp("phantom"), phase="native")


@pytest.fixture
def enhanced(slices: list[Path], tmp_path: Path) -> Path:
    """The frames run against the positions, and the rescale of each is its own."""
    images = [dcmread(path) for path in reversed(slices)]
    for index, image in enumerate(images):
        image.RescaleIntercept = str(-1024 - index)
        image.PixelData = (image.pixel_array + index).astype("<u2").tobytes()
    folder = tmp_path / "enhanced"
    folder.mkdir()
    enhanced_ct(images).save_as(folder / "mf.dcm", enforce_file_format=True)
    return folder


def _translate(source: Path, target: Path, package: str, **options: Any) -> list[Path]:
    done = translate_path(
        source, target, phase="arterial", model=package, device="cpu", mark=Mark.NONE, seed=3, **options
    )
    return list(done.paths)


def _hu(image: Dataset) -> np.ndarray:
    hu: np.ndarray = image.pixel_array.astype(int) + int(image.RescaleIntercept)
    return hu


def test_frames_are_read_as_the_slices_that_they_are(enhanced: Path, slices: list[Path]) -> None:
    single, multi = read_volume(slices), read_volume(enhanced)
    assert np.array_equal(multi.hu, single.hu)
    assert np.allclose(multi.affine, single.affine)
    assert [one.frame for one in multi.slices] == list(range(len(slices), 0, -1))


def test_each_frame_gets_a_derived_instance_that_refers_to_it(
    enhanced: Path, slices: list[Path], package: str, tmp_path: Path
) -> None:
    source = dcmread(enhanced / "mf.dcm")
    derived = _translate(enhanced, tmp_path / "out", package)
    of_single = _translate(slices[0].parent, tmp_path / "single", package)

    assert len(derived) == len(slices)
    seen = {}
    for path, single in zip(derived, of_single, strict=True):
        one, other = dcmread(path), dcmread(single)
        (reference,) = one.SourceImageSequence
        assert reference.ReferencedSOPClassUID == source.SOPClassUID
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        frame = int(reference.ReferencedFrameNumber)
        groups = source.PerFrameFunctionalGroupsSequence[frame - 1]
        assert one.ImagePositionPatient == groups.PlanePositionSequence[0].ImagePositionPatient
        assert one.InstanceNumber == frame
        for keyword in (*GEOMETRY, "FrameOfReferenceUID", "PatientID", "StudyInstanceUID"):
            assert one.get(keyword) == other.get(keyword), keyword
        assert "SharedFunctionalGroupsSequence" not in one
        assert np.array_equal(_hu(one), _hu(other))
        seen[frame] = one.SOPInstanceUID
    assert sorted(seen) == list(range(1, len(slices) + 1))
    assert len(set(seen.values())) == len(slices)


@pytest.mark.parametrize("form", ["ct", "multiframe-sc"])
def test_other_forms_hold_the_frames_too(enhanced: Path, package: str, tmp_path: Path, form: str) -> None:
    derived = [dcmread(path) for path in _translate(enhanced, tmp_path / "out", package, output_form=form)]
    references = [one for image in derived for one in image.SourceImageSequence]
    assert sorted(int(one.ReferencedFrameNumber) for one in references) == list(range(1, 13))


@pytest.mark.dciodvfy
@pytest.mark.parametrize("form", ["sc", "ct"])
def test_dciodvfy_finds_no_error_beyond_the_reviewed(enhanced: Path, package: str, tmp_path: Path, form: str) -> None:
    for path in _translate(enhanced, tmp_path / "out", package, output_form=form)[:2]:
        done = subprocess.run(["/usr/bin/dciodvfy", str(path)], capture_output=True, text=True, timeout=60, check=False)
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert [line for line in errors if "(0x0008,0x001c)" not in line] == []


def _code(image: Dataset, tmp_path: Path) -> str:
    path = tmp_path / "changed.dcm"
    image.save_as(path, enforce_file_format=True)
    return examine_series([path], route=Route(phase="arterial"), min_slices=8).code


@pytest.mark.parametrize(
    ("frame_type", "code"),
    [
        (("DERIVED", "PRIMARY", "PERFUSION", "RCBF"), "derived_map"),
        (("ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"), "localizer"),
        (("ORIGINAL", "PRIMARY", "VOLUME", "MAXIMUM"), "derived_map"),
        (("ORIGINAL", "PRIMARY", "VOLUME", "NONE"), "accepted"),
    ],
)
def test_frame_type_decides(slices: list[Path], tmp_path: Path, frame_type: tuple[str, ...], code: str) -> None:
    assert _code(enhanced_ct([dcmread(path) for path in slices], frame_type=frame_type), tmp_path) == code


def test_two_frames_at_one_place_are_refused(slices: list[Path], tmp_path: Path) -> None:
    image = enhanced_ct([dcmread(path) for path in slices])
    groups = image.PerFrameFunctionalGroupsSequence
    groups[4].PlanePositionSequence = groups[5].PlanePositionSequence
    assert _code(image, tmp_path) == "duplicate_positions"


def test_frames_without_their_functional_groups_are_refused(slices: list[Path], tmp_path: Path) -> None:
    image = enhanced_ct([dcmread(path) for path in slices])
    del image.PerFrameFunctionalGroupsSequence[-1]
    assert _code(image, tmp_path) == "multi_frame"


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "codes"), [("eCT_Supplemental.dcm", {"derived_map"}), ("23x38x3/mf.dcm", {"not_hu"})])
def test_real_multi_frame_files_get_their_reason(real_data: Path, name: str, codes: set[str]) -> None:
    """A perfusion map, and a label map whose values say of themselves that they are no HU."""
    decision = examine_series([real_data / "odd" / "enhanced" / name], route=Route(phase="arterial"), min_slices=2)
    assert decision.code in codes
