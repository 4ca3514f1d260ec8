"""Derived objects before other programs' eyes: dciodvfy, SimpleITK, DCMTK."""

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from dicom_node.derive.forms import DEFAULT_FORM, FORM_NAMES
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.mark import place_mark
from dicom_node.derive.marks import Mark
from dicom_node.derive.series import write_derived_series
from dicom_node.translation import Uncertainty
from s2ldm_core.body import body_mask
from s2ldm_core.calibration import Calibration
from s2ldm_core.io import read_volume
from s2ldm_core.translation import Translation

ALLOWED = Path(__file__).with_name("dciodvfy_allowed.txt")
#: Every type 1 and 2 attribute that pixels and planes do not bring.
COMPLETE: dict[str, Any] = {
    "SliceThickness": "2.5",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
    "StudyDate": "20240101",
    "StudyTime": "120000",
    "StudyID": "1",
    "SeriesNumber": 2,
    "AccessionNumber": "",
    "ReferringPhysicianName": "",
    "Manufacturer": "SCANNER",
    "PositionReferenceIndicator": "",
    "BodyPartExamined": "CHEST",
    "PatientPosition": "HFS",
    "AcquisitionNumber": 1,
    "KVP": "120",
}
SERIES = ("ncct-chest-siemens", "cect-chest-ge-lungkernel", "cect-body-siemens-j2k", "ncct-head-ge-tilt")


def info(output: str = DEFAULT_FORM, *, mark: Mark = Mark.CORNER) -> DerivationInfo:
    return DerivationInfo(
        translation=Translation(
            phase="venous", model_name="demo", model_version="1.0", weights_sha256="ab" * 32, seed=0, steps=1
        ),
        route="CECT_VEN",
        output=output,
        mark=mark,
    )


def dciodvfy(path: Path) -> set[str]:
    """Its messages on one file."""
    done = subprocess.run(["/usr/bin/dciodvfy", str(path)], capture_output=True, text=True, timeout=60, check=False)
    return {line for line in (done.stdout + done.stderr).splitlines() if line.strip()}


def unexpected(messages: set[str]) -> set[str]:
    lines = ALLOWED.read_text(encoding="utf-8").splitlines()
    allowed = [re.compile(line) for line in lines if line.strip() and not line.startswith("#")]
    return {message for message in messages if not any(pattern.fullmatch(message) for pattern in allowed)}


@pytest.fixture
def sources(write_ct_series: Any) -> list[Path]:
    """A complete CT series, oblique and with non-square pixels: every type 1 and 2 attribute is there."""
    rng = np.random.default_rng(1)
    return write_ct_series(
        rng.integers(-1000, 1500, (4, 12, 10)).astype(np.float32),
        spacing_mm=(2.5, 0.7, 0.9),
        orientation=(0.96, 0.28, 0.0, -0.28, 0.96, 0.0),
        **COMPLETE,
    )


@pytest.mark.dciodvfy
@pytest.mark.parametrize("output", FORM_NAMES)
def test_dciodvfy_finds_nothing_beyond_the_reviewed_list(sources: list[Path], tmp_path: Path, output: Any) -> None:
    hu = read_volume(sources).hu
    series = write_derived_series(sources, hu, info=info(output), folder=tmp_path / "out")
    for one in series.instances:
        assert unexpected(dciodvfy(one.path)) == set()


@pytest.mark.dciodvfy
@pytest.mark.parametrize("output", FORM_NAMES)
def test_dciodvfy_has_nothing_against_a_visible_mark(write_ct_series: Any, tmp_path: Path, output: str) -> None:
    sources = write_ct_series(np.full((2, 96, 96), -1000.0, dtype=np.float32), **COMPLETE)
    series = write_derived_series(sources, read_volume(sources).hu, info=info(output), folder=tmp_path / "out")
    assert {dcmread(one.path).BurnedInAnnotation for one in series.instances} == {"YES"}
    for one in series.instances:
        assert unexpected(dciodvfy(one.path)) == set()


@pytest.mark.dciodvfy
@pytest.mark.parametrize("output", FORM_NAMES)
def test_dciodvfy_has_nothing_against_the_uncertainty(write_ct_series: Any, tmp_path: Path, output: str) -> None:
    sources = write_ct_series(np.full((2, 96, 96), -1000.0, dtype=np.float32), **COMPLETE)
    told = Calibration(
        channels=(4,),
        half_widths=(0.7, 1.3, 2.0),
        coverage={"venous": {"aorta": (0.5, 0.8, 0.95)}},
        cases=3,
        weights_sha256="cd" * 32,
    )
    spread = np.full((2, 96, 96), 12.3, dtype=np.float32)
    series = write_derived_series(
        sources,
        read_volume(sources).hu,
        info=info(output),
        folder=tmp_path / "out",
        uncertainty=Uncertainty(hu=spread, calibration=told),
    )
    second = [one for one in series.instances if one.series_instance_uid == series.uncertainty_series_instance_uid]
    assert {dcmread(one.path).ImageType[3] for one in second} == {"UNCERTAINTY"}
    for one in second:
        messages = dciodvfy(one.path)
        assert unexpected(messages) == set()
        assert any("UNCERTAINTY" in message for message in messages) == (output == "ct")


@pytest.mark.real_data
@pytest.mark.parametrize("name", SERIES)
def test_mark_is_never_on_the_body_of_a_real_series(real_data: Path, name: str) -> None:
    """Slices are read one by one: the tilted series is not a volume."""
    images = sorted(
        (dcmread(path) for path in (real_data / "series" / name).glob("*")),
        key=lambda image: float(image.ImagePositionPatient[2]),
    )
    hu = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in images])
    spacing = (float(images[0].SliceThickness), *(float(value) for value in images[0].PixelSpacing))
    mark = place_mark("SYNTHETIC arterial", hu, spacing)
    assert mark is not None
    assert mark.warning == ""
    assert not body_mask(hu, spacing)[(slice(None), *mark.box)].any()
    assert (hu[(slice(None), *mark.box)] < -900).mean() > 0.99


@pytest.mark.dciodvfy
@pytest.mark.real_data
@pytest.mark.parametrize("output", FORM_NAMES)
@pytest.mark.parametrize("name", ["ncct-chest-siemens", "cect-chest-ge-lungkernel"])
def test_dciodvfy_finds_nothing_new_on_real_headers(real_data: Path, tmp_path: Path, name: str, output: Any) -> None:
    """What dciodvfy says about the source slice's own values is the source's."""
    volume = read_volume(real_data / "series" / name)
    sources = [one.path for one in volume.slices][:3]
    series = write_derived_series(sources, volume.hu[:3], info=info(output), folder=tmp_path / "out")
    of_source = set().union(*(dciodvfy(path) for path in sources))
    for one in series.instances:
        assert unexpected(dciodvfy(one.path)) - of_source == set()


@pytest.mark.real_data
def test_simpleitk_reads_a_real_series_back_onto_the_source_s_grid(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "series" / "ncct-chest-siemens"
    volume = read_volume(folder)
    write_derived_series(
        [one.path for one in volume.slices],
        volume.hu,
        info=info(mark=Mark.NONE),
        folder=tmp_path / "out",
        padding=volume.padding,
    )
    source, derived = simpleitk(folder), simpleitk(tmp_path / "out")
    assert derived.GetSize() == source.GetSize()
    assert derived.GetOrigin() == source.GetOrigin()
    assert derived.GetSpacing() == source.GetSpacing()
    assert derived.GetDirection() == source.GetDirection()
    assert np.array_equal(SimpleITK.GetArrayFromImage(derived), SimpleITK.GetArrayFromImage(source))


def test_simpleitk_reads_an_oblique_series_back_onto_the_source_s_grid(sources: list[Path], tmp_path: Path) -> None:
    volume = read_volume(sources)
    write_derived_series(sources, volume.hu, info=info(), folder=tmp_path / "out")
    source, derived = simpleitk(sources[0].parent), simpleitk(tmp_path / "out")
    assert derived.GetOrigin() == source.GetOrigin()
    assert derived.GetSpacing() == source.GetSpacing()
    assert derived.GetDirection() == source.GetDirection()
    assert np.array_equal(SimpleITK.GetArrayFromImage(derived), volume.hu)


@pytest.mark.real_data
@pytest.mark.parametrize("name", SERIES)
def test_geometry_and_identity_of_real_slices_keep_their_text(real_data: Path, tmp_path: Path, name: str) -> None:
    keywords = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SliceLocation")
    source = sorted((real_data / "series" / name).glob("*"))[0]
    header = dcmread(source)
    if not header.get("SOPInstanceUID"):
        header.SOPClassUID, header.SOPInstanceUID = header.file_meta.MediaStorageSOPClassUID, "1.2.3"
        header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.4", "1.2.5"
        source = tmp_path / "source.dcm"
        header.save_as(source)
    hu = np.zeros((1, header.Rows, header.Columns), dtype=np.int16)
    (one,) = write_derived_series([source], hu, info=info(), folder=tmp_path / "out").instances
    original, derived = (dcmread(path, stop_before_pixels=True) for path in (source, one.path))
    present = [keyword for keyword in (*keywords, "PatientName", "PatientID", "StudyDate") if keyword in original]
    assert len(present) >= 7
    for keyword in present:
        # Before anything is decoded: the value's bytes.
        assert (derived.get_item(keyword).value or b"") == (original.get_item(keyword).value or b""), keyword


@pytest.mark.dcmtk
@pytest.mark.parametrize("output", FORM_NAMES)
def test_dcmtk_reads_every_form(sources: list[Path], tmp_path: Path, output: Any) -> None:
    hu = read_volume(sources).hu
    series = write_derived_series(sources, hu, info=info(output), folder=tmp_path / "out")
    for one in series.instances:
        done = subprocess.run(["/usr/bin/dcmdump", str(one.path)], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0
        assert done.stderr == b""


def simpleitk(folder: Path) -> SimpleITK.Image:
    """A series as ITK's reader gives it, in HU."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()
