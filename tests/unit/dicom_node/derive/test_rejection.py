"""Rejection notes: valid objects of the source's patient and study, the same whenever they are made again."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from dicom_node.catalog import EarlierSeries, ImageReference
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.rejection import write_rejections
from s2ldm_core.translation import Translation

EARLIER = EarlierSeries(
    job_id=7,
    series_instance_uid="2.25.100",
    images=tuple(
        ImageReference(
            series_instance_uid="2.25.100",
            sop_instance_uid=f"2.25.100{number}",
            sop_class_uid=str(SecondaryCaptureImageStorage),
        )
        for number in range(3)
    ),
    destinations=("pacs",),
)
OLDER = EarlierSeries(
    job_id=5,
    series_instance_uid="2.25.90",
    images=(
        ImageReference(series_instance_uid="2.25.90", sop_instance_uid="2.25.901", sop_class_uid=str(CTImageStorage)),
    ),
    destinations=(),
)
INFO = DerivationInfo(
    translation=Translation(
        phase="arterial", model_name="m", model_version="1", weights_sha256="0" * 64, seed=0, steps=1
    ),
    route="CECT_ART",
)
#: What dciodvfy may say: which IOD it recognised.
SAYS = re.compile(r"KeyObjectSelectionDocument")

Writer = Callable[..., list[Path]]


def notes(source: Path, folder: Path, *earlier: EarlierSeries) -> list[Dataset]:
    folder.mkdir()
    return [dcmread(one.path) for one in write_rejections(source, earlier, by="2.25.200", info=INFO, folder=folder)]


@pytest.fixture
def source(write_ct_series: Writer) -> Path:
    complete: dict[str, Any] = {
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "StudyDate": "20240101",
        "StudyTime": "120000",
        "StudyID": "1",
        "SeriesNumber": 2,
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "Doe^J",
    }
    return write_ct_series(np.zeros((2, 4, 4), dtype=np.float32), **complete)[0]


@pytest.mark.dciodvfy
def test_a_note_is_valid(source: Path, tmp_path: Path) -> None:
    notes(source, tmp_path / "out", EARLIER)
    path = tmp_path / "out" / "rejection-1.dcm"

    done = subprocess.run(["/usr/bin/dciodvfy", str(path)], capture_output=True, text=True, timeout=60, check=False)

    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert said
    assert [line for line in said if not SAYS.fullmatch(line)] == []


def test_notes_are_of_the_sources_patient_and_study(source: Path, tmp_path: Path) -> None:
    (note,) = notes(source, tmp_path / "out", EARLIER)
    original = dcmread(source)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber", "StudyDate"):
        assert note[keyword].value == original[keyword].value, keyword
    assert note.SeriesNumber == 2 + 1000 + 500
    assert note.SeriesDescription == "Rejected: superseded synthetic series"


def test_names_keep_their_bytes(write_ct_series: Writer, tmp_path: Path) -> None:
    """Also such as do not follow the character set that is stated."""
    path = write_ct_series(np.zeros((2, 4, 4), dtype=np.float32), SpecificCharacterSet="ISO_IR 100")[0]
    content = path.read_bytes().replace(b"Test^Made up", b"T\xd5\xc5\xc8\xfdade up ")
    path.write_bytes(content)

    (note,) = notes(path, tmp_path / "out", EARLIER)

    assert note.get_item("PatientName").value.rstrip(b" ") == b"T\xd5\xc5\xc8\xfdade up"


def test_a_note_made_again_has_the_same_uids(source: Path, tmp_path: Path) -> None:
    first, again = (notes(source, tmp_path / name, EARLIER, OLDER) for name in ("a", "b"))
    assert [one.SOPInstanceUID for one in first] == [one.SOPInstanceUID for one in again]
    assert len({one.SOPInstanceUID for one in first}) == 2
    assert len({one.SeriesInstanceUID for one in (*first, *again)}) == 1
    assert [one.InstanceNumber for one in first] == [1, 2]


def test_a_source_without_identifiers_gives_a_note_with_empty_ones(write_ct_series: Writer, tmp_path: Path) -> None:
    path = write_ct_series(np.zeros((2, 4, 4), dtype=np.float32), PatientName=None, PatientID=None)[0]
    (note,) = notes(path, tmp_path / "out", EARLIER)
    assert (note.PatientName, note.PatientID, note.StudyID) == ("", "", "")


@pytest.mark.dciodvfy
def test_a_note_names_the_images_of_the_uncertainty_in_their_own_series(source: Path, tmp_path: Path) -> None:
    its_own = ImageReference(
        series_instance_uid="2.25.110",
        sop_instance_uid="2.25.1109",
        sop_class_uid=str(SecondaryCaptureImageStorage),
    )
    (note,) = notes(source, tmp_path / "out", replace(EARLIER, images=(*EARLIER.images, its_own)))

    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    assert {
        series.SeriesInstanceUID: {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence}
        for series in study.ReferencedSeriesSequence
    } == {"2.25.100": {"2.25.1000", "2.25.1001", "2.25.1002"}, "2.25.110": {"2.25.1109"}}
    named = [one.ReferencedSOPSequence[0] for one in note.ContentSequence if "ReferencedSOPSequence" in one]
    assert "2.25.1109" in {one.ReferencedSOPInstanceUID for one in named}
    path = str(tmp_path / "out" / "rejection-1.dcm")
    done = subprocess.run(["/usr/bin/dciodvfy", path], capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert [line for line in said if not SAYS.fullmatch(line)] == []
