"""The identifiers of an object, read from the beginning of its bytes."""

from io import BytesIO
from pathlib import Path
from time import process_time
from zlib import compressobj

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_node.errors import ReceiveError
from dicom_node.receive.identifiers import HEAD_BYTES, read_identifiers

NO_FILE = Path("/nonexistent")


def make_dataset() -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.PatientName = "Test^Header"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.SeriesInstanceUID = "1.2.3.1"
    dataset.InstanceNumber = 1
    dataset.Rows = dataset.Columns = 8
    dataset.BitsAllocated = 16
    dataset.PixelRepresentation = 0
    dataset.PixelData = bytes(128)
    return dataset


def encode(dataset: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax == ImplicitVRLittleEndian
    buffer.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(buffer, dataset)
    encoded: bytes = buffer.getvalue()
    if syntax == DeflatedExplicitVRLittleEndian:
        deflate = compressobj(wbits=-15)
        return deflate.compress(encoded) + deflate.flush()
    return encoded


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_identifiers_are_read_in_every_encoding(syntax: str) -> None:
    identifiers = read_identifiers(encode(make_dataset(), syntax), transfer_syntax_uid=syntax, path=NO_FILE, offset=0)
    assert identifiers.sop_class_uid == CTImageStorage
    assert identifiers.sop_instance_uid == "1.2.3.4"
    assert identifiers.study_instance_uid == "1.2.3"
    assert identifiers.series_instance_uid == "1.2.3.1"


@pytest.mark.parametrize(
    ("syntax", "agreed"),
    [(ExplicitVRLittleEndian, ImplicitVRLittleEndian), (ImplicitVRLittleEndian, ExplicitVRLittleEndian)],
)
def test_identifiers_are_read_in_the_other_form_of_vr_than_was_agreed(syntax: str, agreed: str) -> None:
    identifiers = read_identifiers(encode(make_dataset(), syntax), transfer_syntax_uid=agreed, path=NO_FILE, offset=0)
    assert (identifiers.sop_instance_uid, identifiers.series_instance_uid) == ("1.2.3.4", "1.2.3.1")


def test_identifiers_beyond_the_head_are_found_in_the_file(tmp_path: Path) -> None:
    dataset = make_dataset()
    dataset.add_new(0x00090010, "LO", "VENDOR")
    dataset.add_new(0x00091001, "OB", bytes(2 * HEAD_BYTES))
    encoded = encode(dataset, ExplicitVRLittleEndian)
    path = tmp_path / "object.dcm"
    path.write_bytes(b"file meta" + encoded)
    identifiers = read_identifiers(
        encoded[:HEAD_BYTES], transfer_syntax_uid=ExplicitVRLittleEndian, path=path, offset=len(b"file meta")
    )
    assert identifiers.series_instance_uid == "1.2.3.1"


def test_sequences_before_the_identifiers_are_skipped() -> None:
    dataset = make_dataset()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, "1.9"
    dataset.ReferencedImageSequence = [item]
    dataset["ReferencedImageSequence"].is_undefined_length = True
    encoded = encode(dataset, ExplicitVRLittleEndian)
    identifiers = read_identifiers(encoded, transfer_syntax_uid=ExplicitVRLittleEndian, path=NO_FILE, offset=0)
    assert (identifiers.sop_instance_uid, identifiers.series_instance_uid) == ("1.2.3.4", "1.2.3.1")


def test_an_object_without_its_own_sop_uids_is_readable() -> None:
    dataset = make_dataset()
    dataset.SOPClassUID = dataset.SOPInstanceUID = ""
    encoded = encode(dataset, ExplicitVRLittleEndian)
    identifiers = read_identifiers(encoded, transfer_syntax_uid=ExplicitVRLittleEndian, path=NO_FILE, offset=0)
    assert (identifiers.sop_class_uid, identifiers.sop_instance_uid) == ("", "")


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_object_of_no_study_or_series_is_named(keyword: str) -> None:
    dataset = make_dataset()
    delattr(dataset, keyword)
    with pytest.raises(ReceiveError) as caught:
        read_identifiers(
            encode(dataset, ExplicitVRLittleEndian),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            path=NO_FILE,
            offset=0,
        )
    assert caught.value.code == "identifier_missing"


@pytest.mark.parametrize("value", ["1.2/../../etc", "1.2.x", "1" * 65])
def test_an_identifier_that_is_no_uid_is_refused(value: str) -> None:
    dataset = make_dataset()
    encoded = encode(dataset, ImplicitVRLittleEndian)
    old = b"\x20\x00\x0e\x00\x08\x00\x00\x001.2.3.1\0"
    padded = value.encode() + b"\0" * (len(value) % 2)
    assert old in encoded
    encoded = encoded.replace(old, old[:4] + len(padded).to_bytes(4, "little") + padded)
    with pytest.raises(ReceiveError) as caught:
        read_identifiers(encoded, transfer_syntax_uid=ImplicitVRLittleEndian, path=NO_FILE, offset=0)
    assert caught.value.code == "identifier_invalid"
    assert value not in caught.value.sentence


@pytest.mark.parametrize(
    "encoded",
    [b"%PDF-1.7 not an image at all", b"\x08\x00\x16\x00UI\xff\xff1.2", b"\x00", bytes(range(256)) * 8],
    ids=["text", "truncated", "one byte", "noise"],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_bytes_that_are_no_data_set_are_named(encoded: bytes, syntax: str) -> None:
    with pytest.raises(ReceiveError) as caught:
        read_identifiers(encoded, transfer_syntax_uid=syntax, path=NO_FILE, offset=0)
    assert caught.value.code in {"not_dicom", "identifier_missing"}


def test_a_deflate_bomb_is_not_inflated() -> None:
    deflate = compressobj(wbits=-15)
    bomb = BytesIO()
    for _ in range(256):
        bomb.write(deflate.compress(bytes(1 << 20)))
    bomb.write(deflate.flush())
    with pytest.raises(ReceiveError):
        read_identifiers(
            bomb.getvalue()[: HEAD_BYTES - 1],
            transfer_syntax_uid=DeflatedExplicitVRLittleEndian,
            path=NO_FILE,
            offset=0,
        )


def test_identifiers_that_are_all_empty_are_missing_and_the_object_is_still_dicom() -> None:
    dataset = make_dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(dataset, keyword, "")
    encoded = encode(dataset, ExplicitVRLittleEndian)

    with pytest.raises(ReceiveError) as caught:
        read_identifiers(encoded, transfer_syntax_uid=ExplicitVRLittleEndian, path=NO_FILE, offset=0)

    assert caught.value.code == "identifier_missing"


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_millions_of_empty_elements_are_given_up_soon(syntax: str, tmp_path: Path) -> None:
    """Sixteen MiB of zeros are two million elements: 1.7 s, in a process that others wait for."""
    zeros = bytes(2**24)
    packer = compressobj(9, wbits=-15)
    encoded = packer.compress(zeros) + packer.flush() if syntax == DeflatedExplicitVRLittleEndian else zeros
    path = tmp_path / "zeros.dcm"
    path.write_bytes(encoded)

    begun = process_time()
    with pytest.raises(ReceiveError) as raised:
        read_identifiers(encoded[:HEAD_BYTES], transfer_syntax_uid=syntax, path=path, offset=0)

    assert raised.value.code == "not_dicom"
    assert process_time() - begun < 1.0
