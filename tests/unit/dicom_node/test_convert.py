"""Translating files without a network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from dicom_node.convert import translate_path
from dicom_node.derive.marks import Mark
from dicom_node.errors import NodeError
from dicom_node.phases import PHASES
from s2ldm_core.errors import S2LDMError
from s2ldm_core.io import read_volume, write_volume
from tests.ct_series import body_hu
from tests.tiny_model import with_spread, write_tiny_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def series(write_ct_series: Any) -> Path:
    hu = body_hu(4)
    hu[:, :4] = -1000.0
    return write_ct_series(hu)[0].parent


def test_dicom_folder_becomes_a_secondary_capture_series(series: Path, package: str, tmp_path: Path) -> None:
    done = translate_path(series, tmp_path / "out", phase="venous", model=package, device="cpu", anatomy="any")
    derived = [dcmread(path) for path in done.paths]
    sources = {dcmread(path).SOPInstanceUID: dcmread(path) for path in series.iterdir()}
    assert len(derived) == len(sources)
    for one in derived:
        source = sources[one.SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert one.ImagePositionPatient == source.ImagePositionPatient
        assert one.SeriesDescription.startswith("SYNTHETIC venous")
        assert np.array_equal(one.pixel_array[:4] + one.RescaleIntercept, np.full((4, 48), -1000.0))


def test_a_derived_series_of_a_time_says_so_in_its_header(series: Path, tmp_path: Path) -> None:
    model = str(write_tiny_package(tmp_path / "seconds", seconds=True))
    done = translate_path(series, tmp_path / "out", phase="35s", model=model, device="cpu", anatomy="any")
    derived = dcmread(done.paths[0])
    assert derived.SeriesDescription == "SYNTHETIC 35 s after injection (tiny 0.0.1)"
    assert derived.DerivationDescription.startswith("Synthetic image 35 s after injection, predicted from")
    assert derived.WindowCenterWidthExplanation == "SYNTHETIC 35 S AFTER INJECTION"
    assert int(derived.SeriesNumber) == 4035

    assert any(
        "Synthesis of the image 35 s after injection;" in one.ContributionDescription
        for one in derived.ContributingEquipmentSequence
        if "ContributionDescription" in one
    )


def test_a_contrast_dose_multiplies_the_enhancement_and_makes_another_series(
    series: Path, package: str, tmp_path: Path
) -> None:
    source = {one.SOPInstanceUID: one.pixel_array + one.RescaleIntercept for one in map(dcmread, series.iterdir())}
    gains, uids = [], []
    for dose in (1.0, 0.5):
        done = translate_path(
            series,
            tmp_path / str(dose),
            phase="venous",
            contrast_dose=dose,
            model=package,
            device="cpu",
            anatomy="any",
            mark=Mark.NONE,
        )
        derived = [dcmread(path) for path in done.paths]
        of = [one.SourceImageSequence[0].ReferencedSOPInstanceUID for one in derived]
        gains.append(
            np.stack(
                [one.pixel_array + one.RescaleIntercept - source[uid] for one, uid in zip(derived, of, strict=True)]
            )
        )
        uids.append(done.series_instance_uid)
        assert ("Contrast dose 0.5 of the usual." in derived[0].DerivationDescription) is (dose == 0.5)
    assert np.abs(gains[0]).max() > 1.0
    assert np.abs(gains[1] - 0.5 * gains[0]).max() <= 1.0  # whole HU
    assert uids[0] != uids[1]


def test_phases_of_one_source_get_series_numbers_of_their_own(series: Path, package: str, tmp_path: Path) -> None:
    numbers = set()
    for phase in ("arterial", "venous"):
        done = translate_path(series, tmp_path / phase, phase=phase, model=package, device="cpu", anatomy="any")
        numbers |= {int(dcmread(path).SeriesNumber) for path in done.paths}
    assert numbers == {PHASES["arterial"].series_number_offset, PHASES["venous"].series_number_offset}


@pytest.mark.parametrize(("mark", "burned_in"), [(Mark.CORNER, "YES"), (Mark.NONE, "NO")])
def test_mark_is_drawn_as_asked_for(
    write_ct_series: Any, package: str, tmp_path: Path, mark: Mark, burned_in: str
) -> None:
    hu = np.full((4, 64, 64), -1000.0, dtype=np.float32)
    hu[:, 40:] = np.random.default_rng(0).normal(40.0, 10.0, (4, 24, 64))
    series = write_ct_series(hu)[0].parent
    done = translate_path(
        series, tmp_path / "out", phase="venous", model=package, device="cpu", anatomy="any", mark=mark
    )
    assert {dcmread(path).BurnedInAnnotation for path in done.paths} == {burned_in}


def test_nifti_input_gives_nifti_on_the_same_grid(series: Path, package: str, tmp_path: Path) -> None:
    volume = read_volume(series)
    write_volume(volume, tmp_path / "in.nii.gz")
    done = translate_path(
        tmp_path / "in.nii.gz", tmp_path / "out.nii.gz", phase="arterial", model=package, device="cpu", anatomy="any"
    )
    back = read_volume(tmp_path / "out.nii.gz")
    assert done.paths == (tmp_path / "out.nii.gz",)
    assert back.shape == volume.shape
    assert np.allclose(back.affine, volume.affine, atol=1e-4)


@pytest.fixture(scope="module")
def told(package: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A package that knows its uncertainty."""
    return str(with_spread(Path(package), tmp_path_factory.mktemp("told")))


def test_uncertainty_is_a_series_of_its_own_in_a_folder_of_its_own(series: Path, told: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = translate_path(series, out, phase="venous", model=told, device="cpu", anatomy="any", uncertainty=True)
    beside = [path for path in done.paths if path.parent == out / "uncertainty"]
    assert len(beside) == len(done.paths) - len(beside) == len(list(series.iterdir()))
    headers = [dcmread(path) for path in beside]
    assert {one.SeriesDescription for one in headers} == {"SYNTHETIC UNCERTAINTY venous (tiny 0.0.2)"}
    assert {one.SeriesInstanceUID for one in headers}.isdisjoint({done.series_instance_uid})


def test_uncertainty_is_a_file_beside_the_volume(series: Path, told: str, tmp_path: Path) -> None:
    out = tmp_path / "arterial.nii.gz"
    done = translate_path(series, out, phase="arterial", model=told, device="cpu", anatomy="any", uncertainty=True)
    assert done.paths == (out, tmp_path / "arterial-uncertainty.nii.gz")
    answer, spread = (SimpleITK.ReadImage(str(path)) for path in done.paths)
    assert np.allclose(spread.TransformIndexToPhysicalPoint((1, 2, 3)), answer.TransformIndexToPhysicalPoint((1, 2, 3)))
    values = SimpleITK.GetArrayFromImage(spread)
    assert values.shape == SimpleITK.GetArrayFromImage(answer).shape
    assert 0 == values[:, :4].max() < values.max() < 1000, "air keeps the source's HU"


def test_an_uncertainty_in_the_way_is_not_written_over(series: Path, told: str, tmp_path: Path) -> None:
    (tmp_path / "a-uncertainty.nii.gz").write_text("precious")
    with pytest.raises(NodeError) as caught:
        translate_path(series, tmp_path / "a.nii.gz", phase="arterial", model=told, anatomy="any", uncertainty=True)
    assert caught.value.code == "output_exists"
    assert (tmp_path / "a-uncertainty.nii.gz").read_text() == "precious"


def test_nifti_input_cannot_become_dicom(series: Path, package: str, tmp_path: Path) -> None:
    write_volume(read_volume(series), tmp_path / "in.nii.gz")
    with pytest.raises(NodeError) as caught:
        translate_path(tmp_path / "in.nii.gz", tmp_path / "o", phase="arterial", model=package, output_form="sc")
    assert caught.value.code == "form_needs_dicom"


def test_output_in_the_way_is_refused_before_any_work(series: Path, package: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("keep")
    with pytest.raises(NodeError) as caught:
        translate_path(series, tmp_path / "out", phase="arterial", model="no such model")
    assert caught.value.code == "output_exists"


def test_phase_the_model_does_not_know_is_named(series: Path, package: str, tmp_path: Path) -> None:
    with pytest.raises(S2LDMError) as caught:
        translate_path(series, tmp_path / "out", phase="delayed", model=package, device="cpu", anatomy="any")
    assert caught.value.code == "unknown_phase"
    assert not (tmp_path / "out").exists()


def test_progress_is_reported(series: Path, package: str, tmp_path: Path) -> None:
    seen: list[str] = []

    def note(stage: str, _fraction: float) -> None:
        seen.append(stage)

    translate_path(
        series,
        tmp_path / "o",
        phase="arterial",
        model=package,
        device="cpu",
        anatomy="any",
        progress=note,
    )
    assert seen[:2] == ["load", "read"]
    assert seen[-1] == "write"


def test_a_series_that_the_node_would_refuse_is_refused_with_its_reason_before_any_translation(
    series: Path, package: str, tmp_path: Path
) -> None:
    stages: list[str] = []
    with pytest.raises(NodeError) as caught:
        translate_path(
            series,
            tmp_path / "o",
            phase="arterial",
            model=package,
            device="cpu",
            progress=lambda stage, _: stages.append(stage),
        )
    assert caught.value.code == "not_torso"
    assert stages == ["load", "read"]


def test_a_localizer_in_the_folder_is_set_aside(series: Path, package: str, tmp_path: Path) -> None:
    localizer = dcmread(next(series.iterdir()))
    localizer.SOPInstanceUID = localizer.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    localizer.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    localizer.save_as(series / "localizer.dcm")

    done = translate_path(series, tmp_path / "o", phase="arterial", model=package, device="cpu", anatomy="any")

    assert len(done.paths) == 4


def test_two_series_in_a_folder_are_named(series: Path, package: str, tmp_path: Path) -> None:
    other = dcmread(next(series.iterdir()))
    other.SeriesInstanceUID = "1.2.3"
    other.save_as(series / "other.dcm")

    with pytest.raises(S2LDMError) as caught:
        translate_path(series, tmp_path / "o", phase="arterial", model=package, device="cpu", anatomy="any")

    assert caught.value.code == "several_series"
