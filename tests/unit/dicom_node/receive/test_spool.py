"""Received data sets on disk."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from dicom_node.errors import ReceiveError
from dicom_node.receive.file_meta import Provenance
from dicom_node.receive.spool import Spool, SpoolFile

DATA_SET = b"\x08\x00\x60\x00\x02\x00\x00\x00CT"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path, min_free_bytes=0)
    spool.prepare()
    return spool


def begin(spool: Spool, **changes: str) -> SpoolFile:
    values = {
        "sop_class_uid": str(CTImageStorage),
        "sop_instance_uid": "1.2.3.4",
        "transfer_syntax_uid": str(ImplicitVRLittleEndian),
        "calling_ae": "SCANNER",
        "called_ae": "CECT_ART",
    }
    return spool.create(Provenance(**(values | changes)), shard="0a")


def test_a_sealed_file_is_dicom_part_10_with_the_bytes_as_they_came(spool: Spool) -> None:
    file = begin(spool)
    file.append(memoryview(DATA_SET[:3]))
    file.append(memoryview(DATA_SET[3:]))
    file.seal()
    assert file.path.read_bytes()[file.offset :] == DATA_SET
    assert (file.size, bytes(file.head)) == (len(DATA_SET), DATA_SET)
    assert file.length == file.path.stat().st_size
    assert file.digest == hashlib.sha256(DATA_SET).hexdigest()
    dataset = dcmread(file.path)
    assert dataset.Modality == "CT"
    meta = dataset.file_meta
    assert meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert meta.MediaStorageSOPClassUID == CTImageStorage
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert meta.SourceApplicationEntityTitle == "SCANNER"
    assert meta.ReceivingApplicationEntityTitle == "CECT_ART"


def test_names_from_the_wire_do_not_reach_the_path(spool: Spool, tmp_path: Path) -> None:
    file = begin(spool, sop_instance_uid="../../../outside", calling_ae="../x")
    file.append(memoryview(DATA_SET))
    file.seal()
    assert file.path.parent == tmp_path / "incoming" / "0a"
    assert "outside" not in file.path.name
    assert dcmread(file.path).Modality == "CT"


def test_overlong_names_do_not_break_the_file_meta(spool: Spool) -> None:
    file = begin(spool, sop_instance_uid="1." * 50_000)
    file.append(memoryview(DATA_SET))
    file.seal()
    assert dcmread(file.path).Modality == "CT"


def test_an_unsealed_file_is_swept_and_a_sealed_one_kept(spool: Spool) -> None:
    sealed, cut_off = begin(spool), begin(spool)
    sealed.append(memoryview(DATA_SET))
    cut_off.append(memoryview(DATA_SET))
    sealed.seal()
    assert spool.sweep() == 1
    assert sealed.path.exists()
    assert list(sealed.path.parent.iterdir()) == [sealed.path]


def test_a_discarded_file_leaves_nothing(spool: Spool) -> None:
    file = begin(spool)
    file.append(memoryview(DATA_SET))
    file.discard()
    assert not list(file.path.parent.iterdir())


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EIO, "disk_error")]
)
def test_a_failed_write_is_told_at_the_end_and_leaves_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    file = begin(spool)

    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", fail)
    file.append(memoryview(DATA_SET))
    file.append(memoryview(DATA_SET))
    with pytest.raises(ReceiveError) as caught:
        file.seal()
    assert caught.value.code == code
    assert not list(file.path.parent.iterdir())


def test_quarantine_moves_the_file(spool: Spool, tmp_path: Path) -> None:
    file = begin(spool)
    file.append(memoryview(DATA_SET))
    file.seal()
    target = spool.quarantine(file.path)
    assert target.parent == tmp_path / "quarantine"
    assert not file.path.exists()
    assert target.read_bytes().endswith(DATA_SET)


def test_too_little_free_space_is_refused_before_the_disk_is_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path, min_free_bytes=2**62)
    spool.prepare()
    with pytest.raises(ReceiveError) as caught:
        spool.check_free()
    assert caught.value.code == "disk_low"
