"""What a derived object needs of its source's header."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.config import Route
from dicom_node.series import examine_series
from dicom_node.series.rules import SourceHeader
from dicom_node.source_header import incomplete, mend
from tests.ct_series import ct_slice

PLANE = np.zeros((4, 4), dtype=np.int16)


def test_a_complete_header_lacks_nothing() -> None:
    assert incomplete(ct_slice(PLANE, (0.0, 0.0, 0.0))) == {}


@pytest.mark.parametrize(
    ("keyword", "value", "fault"),
    [
        ("StudyInstanceUID", None, "missing"),
        ("StudyInstanceUID", "1." + "2" * 70, "longer than 64 characters"),
        ("SeriesInstanceUID", "one.two", "not readable"),
        ("FrameOfReferenceUID", "1." + "2" * 70, "longer than 64 characters"),
        ("PixelSpacing", None, "missing"),
        ("ImagePositionPatient", [1, 2], "not readable"),
    ],
)
def test_what_is_wrong_is_named(keyword: str, value: Any, fault: str) -> None:
    assert incomplete(ct_slice(PLANE, (0.0, 0.0, 0.0), **{keyword: value})) == {keyword: fault}


def test_a_frame_of_reference_is_not_needed() -> None:
    assert incomplete(ct_slice(PLANE, (0.0, 0.0, 0.0), FrameOfReferenceUID=None)) == {}


def test_looking_at_a_header_leaves_its_text_as_it_was_written(tmp_path: Path) -> None:
    header = ct_slice(PLANE, (0.0, 0.0, 0.0), SliceLocation="00012.50")
    header.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    read = dcmread(tmp_path / "a.dcm")

    incomplete(read)
    mend(read)

    assert read.get_item("SliceLocation").value.strip() == b"00012.50"


def test_unreadable_attributes_that_are_not_needed_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    header = ct_slice(
        PLANE, (0.0, 0.0, 0.0), SliceLocation="1234.567", TimezoneOffsetFromUTC="+9900", SliceThickness="5"
    )
    header.save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes().replace(b"1234.567", b"1234,567"))
    read = dcmread(path)

    mend(read)

    assert "SliceLocation" not in read
    assert "TimezoneOffsetFromUTC" not in read
    assert read.SliceThickness == 5


def test_uids_emptied_by_deidentification_come_from_the_file_meta() -> None:
    header = ct_slice(PLANE, (0.0, 0.0, 0.0))
    uid = header.SOPInstanceUID
    header.SOPInstanceUID = header.SOPClassUID = ""

    assert incomplete(header) == {}
    mend(header)

    assert header.SOPInstanceUID == uid


def test_the_rule_names_attribute_number_and_first_image(write_ct_series: Any) -> None:
    paths = write_ct_series(np.zeros((6, 4, 4)))
    for path in paths[2:]:
        dataset = dcmread(path)
        del dataset.StudyInstanceUID
        dataset.save_as(path)

    decision = examine_series(paths, route=Route(phase="arterial"), min_slices=2, rules=(SourceHeader(),))

    assert decision.code == "source_header_incomplete"
    assert decision.problem is not None
    assert (
        "StudyInstanceUID is missing in 4 of 6 images, the first of them Instance Number 4" in decision.problem.sentence
    )
