"""What is asked for, what is sent of it, and how that is counted, without a network."""

import threading
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom.dsutils import decode

from dicom_node.audit.trail import AuditTrail
from dicom_node.catalog import Catalog, DerivedInstance
from dicom_node.config import Peer, Settings
from dicom_node.errors import DeliverError
from dicom_node.receive.access_record import AccessRecord, without_names
from dicom_node.receive.admission import Admission
from dicom_node.receive.holdings import Holdings
from dicom_node.receive.information_model import model_for
from dicom_node.receive.outgoing import open_data_set
from dicom_node.receive.retrieve import RetrieveDesk
from dicom_node.receive.suboperations import Get, Move
from dicom_node.receive.tally import Tally
from dicom_node.streaming import Command, Progress
from dicom_node.streaming.places import Places
from tests import peers

UIDS = ["1.1", "1.2", "1.3"]
Answered = Callable[[str, int | None], None]


def tally() -> Tally:
    return Tally(UIDS, transfer_syntax_uid=ExplicitVRLittleEndian)


@pytest.mark.parametrize(
    ("answers", "status", "counts"),
    [
        ([0x0000, 0x0000, 0x0000], 0x0000, (3, 0, 0)),
        ([0x0000, 0xB007, 0x0000], 0xB000, (2, 0, 1)),
        ([0x0000, 0x0111, 0xA700], 0xB000, (1, 1, 1)),
        ([0xC000, None, 0x0122], 0xA702, (0, 3, 0)),
        ([0x0000, 0xA700], 0xFE00, (1, 1, 0)),
        ([], 0xFE00, (0, 0, 0)),
    ],
)
def test_the_last_status_follows_from_those_of_the_sub_operations(
    answers: list[int | None], status: int, counts: tuple[int, int, int]
) -> None:
    """PS3.4 tables C.4-2 and C.4-3."""
    counting = tally()
    for uid, code in zip(UIDS, answers, strict=False):
        counting.note(uid, code)
        counting.note(uid, 0xA700)  # twice is once
    last = counting.final()
    assert (last.status, (last.completed, last.failed, last.warning)) == (status, counts)
    assert last.remaining == (len(UIDS) - len(answers) if status == 0xFE00 else None)
    failed = [uid for uid, code in zip(UIDS, answers, strict=False) if code in (None, 0xA700, 0xC000, 0x0122)]
    listed = decode(BytesIO(last.identifier), False, True).get("FailedSOPInstanceUIDList", [])
    assert ([listed] if isinstance(listed, str) else list(listed)) == failed


def test_nothing_found_is_success_and_a_pending_response_says_what_remains() -> None:
    assert Tally([], transfer_syntax_uid=ExplicitVRLittleEndian).final().status == 0x0000
    counting = tally()
    counting.note("1.1", 0x0000)
    counting.note("9.9", 0x0000)
    pending = counting.pending()
    assert (pending.status, pending.remaining, pending.completed, pending.identifier) == (0xFF00, 2, 1, b"")
    assert not pending.is_last


@pytest.fixture
def images(tmp_path: Path) -> list[DerivedInstance]:
    """Three images with a file each."""
    made = []
    for uid in UIDS:
        path = tmp_path / uid
        path.write_bytes(b"image")
        made.append(
            DerivedInstance(sop_instance_uid=uid, sop_class_uid=CTImageStorage, series_instance_uid="2.25.9", path=path)
        )
    return made


def moved(
    images: Sequence[Sequence[DerivedInstance]], send: Callable[..., None]
) -> tuple[Progress, frozenset[str], list[Progress | None]]:
    """The last response of a move, what is stored, and what its end was told of."""
    ends: list[tuple[frozenset[str], Progress | None]] = []
    move = Move(images, tally(), send, on_end=lambda *end: ends.append(end))
    return finish(move), ends[0][0], [end[1] for end in ends]


def finish(move: Move) -> Progress:
    move.start(lambda: None)
    reports: list[Progress] = []

    def is_over() -> bool:
        reports.extend(one for one in [move.report()] if one is not None)
        return bool(reports) and reports[-1].is_last

    peers.wait_until(is_over, seconds=10, what="the move to end")
    return reports[-1]


def test_a_file_that_is_gone_fails_and_the_others_of_its_series_are_sent(images: list[DerivedInstance]) -> None:
    images[1].path.unlink()

    def send(files: Sequence[Path], *, on_answer: Answered, should_stop: Callable[[], bool]) -> None:
        for path in files:
            on_answer(path.name, 0x0000)

    last, stored, told = moved([images], send)
    assert (last.status, last.completed, last.failed) == (0xB000, 2, 1)
    assert stored == {"1.1", "1.3"}
    assert told == [last]


@pytest.mark.parametrize(
    "fault", [DeliverError("no_connection", "It is away.", "Look."), RuntimeError("a fault of ours")]
)
def test_a_destination_that_cannot_be_used_gets_nothing_more(images: list[DerivedInstance], fault: Exception) -> None:
    calls = []

    def send(files: Sequence[Path], *, on_answer: Answered, should_stop: Callable[[], bool]) -> None:
        calls.append(len(files))
        on_answer(files[0].name, 0x0000)
        raise fault

    last, stored, _ = moved([images[:2], images[2:]], send)
    assert (last.status, last.completed, last.failed, calls) == (0xB000, 1, 2, [2])
    assert stored == {"1.1"}


def test_a_move_that_is_cancelled_stops_after_the_image_at_hand(images: list[DerivedInstance]) -> None:
    at_hand, cancelled = threading.Event(), threading.Event()

    def send(files: Sequence[Path], *, on_answer: Answered, should_stop: Callable[[], bool]) -> None:
        for path in files:
            if should_stop():
                return
            at_hand.set()
            assert cancelled.wait(10)
            on_answer(path.name, 0x0000)

    ends: list[frozenset[str]] = []
    move = Move([images[:2], images[2:]], tally(), send, on_end=lambda stored, _: ends.append(stored))
    move.start(lambda: None)
    assert at_hand.wait(10)
    move.cancel()
    cancelled.set()
    peers.wait_until(lambda: ends, seconds=10, what="the move to end")
    last = move.report()
    assert last is not None
    assert (last.status, last.completed, last.remaining) == (0xFE00, 1, 2)


def test_a_get_waits_for_the_answer_to_each_image(images: list[DerivedInstance]) -> None:
    ends: list[Progress | None] = []
    get = Get(images, tally(), on_end=lambda _, last: ends.append(last))
    assert get.report() is None
    for uid in UIDS[:2]:
        parcel = get.next_parcel()
        assert parcel is not None
        assert parcel.sop_instance_uid == uid
        assert get.report() is None
        get.stored(0x0000)
        pending = get.report()
        assert pending is not None
        assert pending.status == 0xFF00
    get.next_parcel()
    get.cancel()
    assert get.report() is None, "the image at hand is on its way"
    get.stored(None)
    last = get.report()
    assert last is not None
    assert (last.status, last.completed, last.failed) == (0xB000, 2, 1)
    assert ends == [last]


def test_a_data_set_is_opened_as_it_stands_or_in_the_other_plain_syntax(
    tmp_path: Path, make_ct_slice: Callable[..., Dataset]
) -> None:
    import numpy as np

    path = tmp_path / "image.dcm"
    dataset = make_ct_slice(np.arange(64, dtype=np.int16).reshape(8, 8), (0.0, 0.0, 0.0))
    dataset.save_as(path, enforce_file_format=True)
    opened = open_data_set(path, [JPEG2000Lossless, ImplicitVRLittleEndian, ExplicitVRLittleEndian])
    with opened.data_set as file:
        content = file.read()
    assert opened.transfer_syntax_uid == ExplicitVRLittleEndian
    assert path.read_bytes().endswith(content)
    assert len(content) == opened.length
    assert decode(BytesIO(content), False, True).SOPInstanceUID == dataset.SOPInstanceUID

    opened = open_data_set(path, [JPEG2000Lossless, ImplicitVRLittleEndian])
    assert decode(BytesIO(opened.data_set.read()), True, True) == dcmread(path)
    with pytest.raises(ValueError, match="transfer syntax"):
        open_data_set(path, [JPEG2000Lossless])
    path.write_bytes(b"no DICOM file")
    with pytest.raises(ValueError, match="not a DICOM file"):
        open_data_set(path, [ExplicitVRLittleEndian])
    path.unlink()
    with pytest.raises(FileNotFoundError):
        open_data_set(path, [ExplicitVRLittleEndian])


@pytest.mark.parametrize(
    ("sop_class_uid", "keys", "level"),
    [
        ("1.2.840.10008.5.1.4.1.2.1.3", {"QueryRetrieveLevel": "PATIENT"}, "PATIENT"),
        ("1.2.840.10008.5.1.4.1.2.1.3", {"QueryRetrieveLevel": "STUDY"}, None),
        ("1.2.840.10008.5.1.4.1.2.1.3", {"QueryRetrieveLevel": "STUDY", "PatientID": "P"}, "STUDY"),
        ("1.2.840.10008.5.1.4.1.2.2.3", {"QueryRetrieveLevel": "PATIENT"}, None),
        ("1.2.840.10008.5.1.4.1.2.2.3", {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": ["1.2", "1.3"]}, None),
        ("1.2.840.10008.5.1.4.1.2.2.3", {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "1.2"}, "SERIES"),
    ],
)
def test_a_level_needs_one_value_of_every_unique_key_above(
    sop_class_uid: str, keys: dict[str, object], level: str | None
) -> None:
    """PS3.4 C.6.1.1 and C.6.2.1."""
    model = model_for(sop_class_uid, "get")
    assert model is not None
    identifier = Dataset()
    for name, value in keys.items():
        setattr(identifier, name, value)
    assert model.level_of(identifier) == level
    assert model_for(sop_class_uid, "move") is None


@pytest.mark.parametrize(
    ("known", "status"),
    [
        (None, 0x0124),
        (Peer(ae_title="VIEWER", max_retrievals=0), 0x0124),
        (Peer(ae_title="VIEWER"), 0xA900),
    ],
)
def test_who_is_not_on_the_list_of_peers_may_retrieve_no_more_than_query(
    tmp_path: Path, known: Peer | None, status: int
) -> None:
    """Where that list is empty anybody may send, and nobody retrieve."""
    command = Command(
        field=0x0010,
        has_data_set=True,
        message_id=1,
        sop_class_uid="1.2.840.10008.5.1.4.1.2.2.3",
        sop_instance_uid="",
    )
    admission = Admission(route=None, called_ae="S2LDM", calling_ae="VIEWER", peer="10.0.0.8", id="1", known=known)
    record = AccessRecord(AuditTrail(tmp_path / "audit", node="S2LDM"))
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        desk = RetrieveDesk(Settings(), Holdings(catalog), record, carry=None, places=Places(1))
        sink = desk.begin(command, admission, transfer_syntax_uid=ExplicitVRLittleEndian)
        assert sink is not None
        assert sink.finish().status == status, "what it asks for is looked at afterwards"


def test_of_a_query_the_audit_trail_gets_no_name() -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.PatientID, identifier.PatientName = "STUDY", "P1", "SECRET^ANNA"
    identifier.ReferringPhysicianName, identifier.PatientBirthDate = "SECRET^DOC", "19700101"
    request = Dataset()
    request.RequestedProcedureDescription = "SECRET"
    identifier.RequestAttributesSequence = [request]
    kept = without_names(identifier)
    assert "SECRET" not in str(kept)
    assert "1970" not in str(kept)
    assert (kept.QueryRetrieveLevel, kept.PatientID, "PatientName" in kept) == ("STUDY", "P1", True)
