"""What a sentence calls an image: never by the file of a spool."""

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from s2ldm_core.errors import VolumeError
from s2ldm_core.io.header import image_name, read_header
from s2ldm_core.io.hounsfield import hu_rescale
from s2ldm_core.io.pixels import read_slice

Writer = Callable[..., list[Path]]


@pytest.fixture
def path(write_ct_series: Writer) -> Path:
    return write_ct_series(np.zeros((2, 4, 4), dtype=np.float32))[0]


def test_an_image_is_named_by_its_identifiers(path: Path) -> None:
    header = dcmread(path)
    assert image_name(path) == f"the image with Instance Number 2, SOP Instance UID {header.SOPInstanceUID}"


def test_an_image_without_instance_number_is_named_by_its_uid(path: Path) -> None:
    header = dcmread(path)
    del header.InstanceNumber
    header.save_as(path)
    assert image_name(path) == f"the image with SOP Instance UID {header.SOPInstanceUID}"


def test_what_is_no_dicom_is_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing")
    assert image_name(path) == "the file notes.txt"


def test_pixels_that_cannot_be_decoded_name_the_image_and_no_file(path: Path) -> None:
    image = dcmread(path)
    image.PixelData = image.PixelData[:-8]
    image.save_as(path)

    with pytest.raises(VolumeError) as caught:
        read_slice(path)

    assert caught.value.code == "pixels_unreadable"
    assert f"Instance Number 2, SOP Instance UID {image.SOPInstanceUID}" in caught.value.sentence
    assert path.name not in caught.value.sentence


def test_damaged_file_meta_information_is_unreadable_and_no_fault(path: Path) -> None:
    """A VR that nobody knows in (0002,0002) came out as a fault where the UID was asked for."""
    content = path.read_bytes()
    at = content.index(b"\x02\x00\x02\x00UI") + 4
    path.write_bytes(content[:at] + b"\x55\xeb" + content[at + 2 :])

    with pytest.raises(VolumeError) as caught:
        read_header(path)

    assert caught.value.code == "file_unreadable"


@pytest.mark.parametrize("columns", [2, 3])
def test_pixels_that_are_longer_than_the_header_says_are_refused(path: Path, columns: int) -> None:
    """Of four columns; rows would begin elsewhere, and the image be sheared."""
    image = dcmread(path)
    image.Columns = columns
    image.save_as(path)

    with pytest.raises(VolumeError) as caught:
        read_slice(path)

    assert caught.value.code == "pixels_unreadable"
    assert "4 rows" in caught.value.sentence


def test_padding_behind_the_pixels_is_left_out(path: Path) -> None:
    image = dcmread(path)
    image.PixelData += b"\0\0"
    image.save_as(path)

    hu, _ = read_slice(path)

    assert hu.shape == (4, 4)


def test_an_element_that_claims_gigabytes_takes_no_memory(path: Path) -> None:
    whole = path.read_bytes()
    at = whole.index(b"\x08\x00\x08\x00CS")  # Image Type
    path.write_bytes(whole[: at + 4] + b"UN\0\0\xfe\xff\xff\x7f" + whole[at + 8 :])

    tracemalloc.start()
    try:
        with suppress(VolumeError):
            read_header(path, keywords=["ImageType", "Rows"])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10 * 2**20


@pytest.mark.parametrize("value", [b"1\\1 ", b"one "])
def test_samples_per_pixel_that_are_no_number_are_no_hounsfield_units(path: Path, value: bytes) -> None:
    header = dcmread(path)
    header[0x0028, 0x0002] = RawDataElement(Tag(0x0028, 0x0002), "IS", len(value), value, 0, False, True)
    with pytest.raises(VolumeError) as raised:
        hu_rescale(header)
    assert raised.value.code == "not_hu"
