"""Only values that are legal for their VR are copied as they are."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_node.derive.attributes import instance_number, series_number, source_window_hu
from dicom_node.derive.forms import FORM_NAMES
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.series import write_derived_series
from dicom_node.derive.verbatim import copy_decimals, copy_verbatim, decimals_of, text_of
from s2ldm_core.translation import Translation

MADE = Translation(phase="venous", model_name="m", model_version="1", weights_sha256="0" * 64, seed=0, steps=1)


def raw(keyword: str, vr: str, value: bytes) -> Dataset:
    """A data set with one element as it stood in a file."""
    dataset = Dataset()
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return dataset


def copied(source: Dataset, keyword: str) -> bytes | None:
    """The bytes that a derived object gets, without padding."""
    target = Dataset()
    copy_verbatim(source, target, [keyword])
    return target.get_item(keyword).value.rstrip(b" \0") if keyword in target else None


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "expected"),
    [
        ("SliceThickness", "FD", struct.pack("<d", 5.0), b"5.0"),
        ("SliceLocation", "FL", struct.pack("<f", -0.1), b"-0.1"),
        ("PixelSpacing", "FD", struct.pack("<2d", 0.7, 1 / 3), b"0.7\\0.33333333333333"),
        ("SliceLocation", "US", struct.pack("<H", 7), b"7"),
        ("SliceThickness", "UN", b"2.50", b"2.50"),
        ("SliceThickness", "DS", b"+.5e1 ", b"+.5e1"),
        ("SliceLocation", "DS", b"-99.999999998999999", b"-99.999999999"),
        ("PixelSpacing", "DS", b"3.000000000000000001\\ 3", b"3.0\\ 3"),
        ("SliceThickness", "DS", b"5,0", None),
        ("PixelSpacing", "DS", b"3.0\\3,0", None),
        ("SliceThickness", "DS", b"nan", None),
        ("SliceThickness", "DS", b"1e999", None),
        ("SliceThickness", "DS", b"  ", None),
        ("PatientSize", "DS", b"1,75", None),
        ("AcquisitionNumber", "IS", b"3.0", b"3"),
        ("AcquisitionNumber", "IS", b"three", None),
        ("AcquisitionNumber", "SL", struct.pack("<i", -4), b"-4"),
        ("StudyInstanceUID", "UI", b"1.2.00.3\0", b"1.2.00.3"),
        ("PatientID", "LO", b"L" * 90, b"L" * 90),
        ("PatientAge", "AS", b"45 years", b"45 years"),
        ("PatientName", "PN", "王^小东".encode("gb18030"), "王^小东".encode("gb18030")),
        ("PatientID", "US", struct.pack("<H", 12593), None),
    ],
)
def test_known_answers(keyword: str, vr: str, value: bytes, expected: bytes | None) -> None:
    assert copied(raw(keyword, vr, value), keyword) == expected


def test_shortened_decimals_are_within_a_thousandth() -> None:
    source = raw("ImagePositionPatient", "DS", b"-190.50000000000012345\\-123456.49999999999987654\\1.0E-20")
    target = Dataset()
    copy_decimals(source, target, ["ImagePositionPatient"])
    texts = text_of(target, "ImagePositionPatient").split("\\")
    assert all(len(text) <= 16 for text in texts)
    assert decimals_of(target, "ImagePositionPatient") == pytest.approx([-190.5, -123456.5, 0], abs=1e-3)


def test_decoded_decimals_keep_their_text() -> None:
    source = raw("SliceThickness", "DS", b"02.500")
    assert source.SliceThickness == 2.5
    assert copied(source, "SliceThickness") == b"02.500"


def test_numbers_written_with_a_point_number_series_and_instances() -> None:
    info = DerivationInfo(translation=MADE, route="R", series_number_offset=2000)
    assert series_number(raw("SeriesNumber", "IS", b"3.0 "), info=info) == 2003
    assert instance_number(raw("InstanceNumber", "IS", b"12."), index=0) == 12


def test_window_of_a_series_is_the_median_of_the_slices_first_values() -> None:
    slices = []
    for texts in (("40\\-600", "400\\1500"), ("50", "300"), ("60", "350"), ("x", "1"), ("40", "0")):
        one = Dataset()
        for keyword, text in zip(("WindowCenter", "WindowWidth"), texts, strict=True):
            one[keyword] = raw(keyword, "DS", text.encode()).get_item(keyword)
        slices.append(one)
    assert source_window_hu(slices) == (50, 350)
    assert source_window_hu([Dataset()]) is None


@pytest.mark.parametrize("form", FORM_NAMES)
def test_binary_decimals_reach_other_readers_as_the_right_spacing(
    write_ct_series: Any, tmp_path: Path, form: str
) -> None:
    hu = np.zeros((3, 6, 5), dtype=np.float32)
    sources = write_ct_series(hu, spacing_mm=(5.0, 3.0, 3.0), SliceThickness="5", SpacingBetweenSlices="5")
    for path in sources:
        content = path.read_bytes()
        for tag, text in (
            (b"\x18\x00\x50\x00", b"5 "),
            (b"\x18\x00\x88\x00", b"5 "),
            (b"\x28\x00\x30\x00", b"3.0\\3.0 "),
        ):
            old = tag + b"DS" + struct.pack("<H", len(text)) + text
            count = 2 if b"\\" in text else 1
            double = struct.pack(f"<{count}d", *[float(part) for part in text.split(b"\\")])
            assert content.count(old) == 1
            content = content.replace(old, tag + b"FD" + struct.pack("<H", len(double)) + double)
        path.write_bytes(content)
    info = DerivationInfo(translation=MADE, route="R", output=form)
    series = write_derived_series(sources, hu, info=info, folder=tmp_path / "out")
    image = SimpleITK.ReadImage([str(one.path) for one in series.instances])
    assert image.GetSpacing()[:2] == (3.0, 3.0)
    derived = dcmread(series.instances[0].path)
    if form == "multiframe-sc":
        derived = derived.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (derived.SliceThickness, list(derived.PixelSpacing)) == (5.0, [3.0, 3.0])
    assert {derived["SliceThickness"].VR, derived["PixelSpacing"].VR} == {"DS"}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ([None, "1.2.3", "1.2.3"], ["1.2.3"] * 3),
        (["1.2.3", "1.2.4", "1.2.5"], ["1.2.3", "1.2.4", "1.2.5"]),
        (["1.2.3", "1.2.3", None], ["1.2.3"] * 3),
    ],
)
def test_frame_of_reference_is_each_slice_s_own_or_the_series_one(
    write_ct_series: Any, tmp_path: Path, named: list[str | None], expected: list[str]
) -> None:
    hu = np.zeros((3, 6, 5), dtype=np.float32)
    sources = write_ct_series(hu)
    for path, uid in zip(sources, named, strict=True):
        dataset = dcmread(path)
        dataset.FrameOfReferenceUID = uid or "1"
        if uid is None:
            del dataset.FrameOfReferenceUID
        dataset.save_as(path)
    info = DerivationInfo(translation=MADE, route="R")
    series = write_derived_series(sources, hu, info=info, folder=tmp_path / "out")
    assert [dcmread(one.path).FrameOfReferenceUID for one in series.instances] == expected


def test_without_any_frame_of_reference_all_slices_share_one_of_ours(write_ct_series: Any, tmp_path: Path) -> None:
    hu = np.zeros((3, 6, 5), dtype=np.float32)
    sources = write_ct_series(hu, FrameOfReferenceUID=None)
    series = write_derived_series(
        sources, hu, info=DerivationInfo(translation=MADE, route="R"), folder=tmp_path / "out"
    )
    (uid,) = {dcmread(one.path).FrameOfReferenceUID for one in series.instances}
    assert uid.startswith("2.25.")
