"""The listener against real senders: DCMTK, and pynetdicom where a sender must misbehave."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from dicom_node.catalog import Catalog, JobState
from dicom_node.catalog.database import LEASE_SECONDS
from dicom_node.config import NodeSettings, Settings
from dicom_node.errors import CatalogAwayError
from dicom_node.receive import Listener
from dicom_node.streaming.association import ReceivingAssociation
from tests import peers
from tests.catalog_jobs import Clock
from tests.ct_series import ct_slice

SECONDS = 10.0


class Receiver:
    """A listener in this process, with its catalog and folders."""

    def __init__(
        self, folder: Path, *, clock: Clock | None = None, lease_seconds: float = LEASE_SECONDS, **node: object
    ) -> None:
        values = {"host": peers.HOST, "port": peers.free_port(), "data_dir": folder, "min_free_mib": 0}
        self.settings = Settings(node=NodeSettings.model_validate(values | node))
        self.folder = folder
        self.catalog = Catalog(self.settings.catalog_location, clock=clock, lease_seconds=lease_seconds)
        self.listener = Listener(self.settings, self.catalog)
        self.port = self.settings.node.port

    def files(self) -> list[Path]:
        """Everything below ``incoming``."""
        return sorted(path for path in (self.folder / "incoming").glob("*/*") if path.is_file())

    def quarantined(self) -> list[Path]:
        """Everything below ``quarantine``."""
        return sorted((self.folder / "quarantine").iterdir())

    def all_closed(self) -> bool:
        """Whether every association is over, for us and for the catalog."""
        return self.nobody_is_there() and not self.catalog.open_associations()

    def nobody_is_there(self) -> bool:
        """Whether every association is over for us."""
        return not any(isinstance(thread, ReceivingAssociation) for thread in threading.enumerate())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Receiver]]:
    started: list[Receiver] = []

    def run(**node: Any) -> Receiver:
        receiver = Receiver(tmp_path / "var", **node)
        started.append(receiver)
        receiver.listener.start()
        return receiver

    yield run
    for receiver in started:
        receiver.listener.stop(grace_seconds=0.5)
        receiver.catalog.close()


@pytest.fixture
def receiver(start: Callable[..., Receiver]) -> Receiver:
    return start()


@contextmanager
def associate(
    receiver: Receiver,
    *,
    called: str = "CECT_ART",
    calling: str = "SCANNER",
    sop_class: str = CTImageStorage,
    syntax: str = ExplicitVRLittleEndian,
) -> Iterator[Association]:
    ae = AE(calling)
    ae.add_requested_context(sop_class, syntax)
    ae.add_requested_context("1.2.840.10008.1.1")
    association = ae.associate(peers.HOST, receiver.port, ae_title=called)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def send_bytes(association: Association, encoded: bytes, *, uid: str, sop_class: str = CTImageStorage) -> Dataset:
    """C-STORE `encoded` as it is, whatever it is, and return the response."""
    request = C_STORE()
    request.MessageID = 7
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, uid
    request.Priority = 0
    request.DataSet = BytesIO(encoded)
    context = next(cx for cx in association.accepted_contexts if cx.abstract_syntax == sop_class)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, context.context_id)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert response is not None, "no response"
    answer = Dataset()
    answer.Status, answer.ErrorComment = response.Status, response.ErrorComment or ""
    return answer


def image(number: int = 0, **attributes: object) -> Dataset:
    stored = np.full((64, 64), 1000 + number, dtype=np.uint16)
    return ct_slice(stored, (0.0, 0.0, 2.0 * number), series_uid="1.2.3.9", **attributes)


def encoded(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    value = encode(
        dataset,
        syntax == ImplicitVRLittleEndian,
        syntax != ExplicitVRBigEndian,
        syntax == DeflatedExplicitVRLittleEndian,
    )
    assert value is not None
    return value


@pytest.mark.parametrize("stopping", [False, True], ids=["while it runs", "when it stops"])
def test_the_end_of_an_association_is_told_once_the_catalog_can_be_written(
    start: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch, stopping: bool
) -> None:
    receiver = start(lease_seconds=60.0 if stopping else 0.3)
    away = threading.Event()
    closing, opening = receiver.catalog.close_association, receiver.catalog.open_association
    closed = []

    def close(association_id: str, *, outcome: str) -> None:
        if away.is_set():
            raise CatalogAwayError("catalog_unusable", "The catalog does not answer.")
        closing(association_id, outcome=outcome)
        closed.append(outcome)

    def open_(*args: Any, **who: Any) -> None:
        if away.is_set():
            raise CatalogAwayError("catalog_unusable", "The catalog does not answer.")
        opening(*args, **who)

    monkeypatch.setattr(receiver.catalog, "close_association", close)
    monkeypatch.setattr(receiver.catalog, "open_association", open_)
    with associate(receiver) as one, associate(receiver) as other:
        assert one.send_c_store(image()).Status == 0x0000
        assert other.send_c_store(image(2)).Status == 0x0000
        away.set()
    with associate(receiver) as association:  # never recorded, so nothing to be told later
        assert association.send_c_store(image(1)).Status != 0x0000
    peers.wait_until(receiver.nobody_is_there, seconds=SECONDS, what="all to be gone")
    assert len(receiver.catalog.open_associations()) == 2
    away.clear()
    if not stopping:
        peers.wait_until(receiver.all_closed, seconds=SECONDS, what="both to be closed in the catalog")
    receiver.listener.stop(grace_seconds=0.5)
    assert receiver.all_closed()
    assert closed == ["released", "released"]


def test_an_echo_is_answered_for_the_node_and_for_every_route(receiver: Receiver) -> None:
    for called in ("S2LDM", "CECT_ART", "CECT_VEN"):
        with associate(receiver, called=called) as association:
            assert association.send_c_echo().Status == 0x0000


@pytest.mark.dcmtk
def test_a_series_from_dcmtk_is_recorded_with_its_bytes(receiver: Receiver, tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    sent = {}
    for number in range(5):
        dataset = image(number)
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
        sent[dataset.SOPInstanceUID] = dataset
    peer = peers.Peer(name="listener", ae_title="S2LDM", port=receiver.port, folder=tmp_path, process=None)
    peers.send(peer, [folder], called_ae="CECT_VEN", options=("-aet", "MODALITY"))
    peers.wait_until(receiver.all_closed, seconds=SECONDS, what="the association to close")
    (series,) = receiver.catalog.list_series()
    assert (series.series_instance_uid, series.route, series.instance_count) == ("1.2.3.9", "CECT_VEN", 5)
    assert series.calling_ae == "MODALITY"
    rows = receiver.catalog.series_instances(series.key)
    assert {row.sop_instance_uid for row in rows} == set(sent)
    for row in rows:
        assert row.path is not None
        stored, original = dcmread(row.path), sent[row.sop_instance_uid]
        assert stored == original
        assert stored.file_meta.TransferSyntaxUID == row.transfer_syntax_uid == ExplicitVRLittleEndian
    assert len(receiver.files()) == 5


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_encoding_is_kept_as_it_came(receiver: Receiver, syntax: str) -> None:
    dataset = image()
    value = encoded(dataset, syntax)
    with associate(receiver, syntax=syntax) as association:
        assert send_bytes(association, value, uid=dataset.SOPInstanceUID).Status == 0x0000
    (path,) = receiver.files()
    assert path.read_bytes().endswith(value)
    stored = dcmread(path)
    assert stored.file_meta.TransferSyntaxUID == syntax
    assert stored == dataset


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_images_are_kept_compressed(receiver: Receiver, syntax: str) -> None:
    dataset = image()
    dataset.compress(syntax, generate_instance_uid=False)
    with associate(receiver, syntax=syntax) as association:
        assert association.send_c_store(dataset).Status == 0x0000
    (path,) = receiver.files()
    stored = dcmread(path)
    assert stored.file_meta.TransferSyntaxUID == syntax
    assert stored.PixelData == dataset.PixelData
    assert np.array_equal(stored.pixel_array, np.full((64, 64), 1000))


def test_an_open_association_outlasts_its_lease(start: Callable[..., Receiver]) -> None:
    clock = Clock()
    receiver = start(clock=clock, lease_seconds=0.3)
    with associate(receiver):
        (opened,) = receiver.catalog.open_associations()
        for _ in range(3):
            clock.advance(0.2)
            peers.wait_until(
                lambda: receiver.catalog.open_associations()[0].claimed_until == clock() + timedelta(seconds=0.3),
                seconds=20,
                what="the association to be renewed",
            )
            receiver.catalog.sweep_leases()
            assert [one.id for one in receiver.catalog.open_associations()] == [opened.id]
    peers.wait_until(receiver.all_closed, seconds=20, what="the association to end")


@pytest.mark.real_data
def test_every_real_transfer_syntax_is_accepted(receiver: Receiver, real_data: Path) -> None:
    sources = sorted((real_data / "odd" / "transfer-syntaxes").glob("*.dcm*"))
    assert len(sources) == 15
    for source in sources:
        original = dcmread(source)
        with associate(receiver, syntax=original.file_meta.TransferSyntaxUID) as association:
            raw = source.read_bytes()
            value = raw[raw.index(b"DICM") + 4 + 12 + original.file_meta.FileMetaInformationGroupLength :]
            uid = f"{original.SOPInstanceUID[:50]}.{sources.index(source)}"
            # All are one image under one UID: each is announced under a UID of its own, and says so itself nowhere.
            answer = send_bytes(association, value, uid=uid)
            assert answer.Status == 0xA900
        held = [path for path in receiver.quarantined() if path.read_bytes().endswith(value)]
        assert len(held) == 1, source.name
        assert dcmread(held[0], stop_before_pixels=True).Rows == original.Rows


def test_a_private_sop_class_is_accepted(receiver: Receiver) -> None:
    private = "1.3.12.2.1107.5.9.1"
    dataset = image(SOPClassUID=private)
    with associate(receiver, sop_class=private) as association:
        answer = send_bytes(association, encoded(dataset), uid=dataset.SOPInstanceUID, sop_class=private)
        assert answer.Status == 0x0000
    (series,) = receiver.catalog.list_series()
    assert receiver.catalog.series_instances(series.key)[0].sop_class_uid == private


def test_a_called_title_that_is_no_route_is_rejected_and_listed(receiver: Receiver) -> None:
    for _ in range(2):
        with associate(receiver, called="CECT_ARTERIAL") as association:
            assert association.is_rejected
            assert association.acceptor.primitive.result_str == "Rejected Permanent"
    (stranger,) = receiver.catalog.rejected_peers()
    assert (stranger.calling_ae, stranger.called_ae, stranger.count) == ("SCANNER", "CECT_ARTERIAL", 2)
    assert stranger.reason.code == "called_ae_unknown"


def test_only_peers_on_the_allow_list_may_send(start: Callable[..., Receiver]) -> None:
    receiver = start(peers=[{"ae_title": "PACS", "host": peers.HOST}])
    with associate(receiver, calling="PACS") as association:
        assert association.is_established
    with associate(receiver, calling="STRANGER") as association:
        assert association.is_rejected
    assert [peer.reason.code for peer in receiver.catalog.rejected_peers()] == ["peer_not_allowed"]


def test_storing_to_the_nodes_own_title_is_not_authorised(receiver: Receiver) -> None:
    dataset = image()
    with associate(receiver, called="S2LDM") as association:
        assert association.send_c_store(dataset).Status == 0x0124
        assert association.send_c_echo().Status == 0x0000
    assert receiver.files() == []
    assert receiver.catalog.list_series() == []


def test_the_same_object_again_is_success_and_kept_once(receiver: Receiver) -> None:
    dataset = image()
    with associate(receiver) as association:
        assert association.send_c_store(dataset).Status == 0x0000
        assert association.send_c_store(dataset).Status == 0x0000
    (series,) = receiver.catalog.list_series()
    assert series.instance_count == 1
    assert len(receiver.files()) == 1


def test_the_same_object_on_two_routes_is_two_series(receiver: Receiver) -> None:
    for called in ("CECT_ART", "CECT_VEN"):
        with associate(receiver, called=called) as association:
            assert association.send_c_store(image(SOPInstanceUID="1.2.3.9.1")).Status == 0x0000
    assert {series.route for series in receiver.catalog.list_series()} == {"CECT_ART", "CECT_VEN"}
    assert len(receiver.files()) == 2


def test_other_content_under_the_same_uid_is_quarantined_and_the_first_kept(receiver: Receiver) -> None:
    with associate(receiver) as association:
        assert association.send_c_store(image(1, SOPInstanceUID="1.2.3.9.1")).Status == 0x0000
        assert association.send_c_store(image(2, SOPInstanceUID="1.2.3.9.1")).Status == 0x0000
    (kept,), (second,) = receiver.files(), receiver.quarantined()
    assert dcmread(kept).pixel_array[0, 0] == 1001
    assert dcmread(second).pixel_array[0, 0] == 1002
    (series,) = receiver.catalog.list_series()
    assert (series.instance_count, series.conflict_count) == (1, 1)
    (row,) = receiver.catalog.list_quarantine()
    assert (row.reason.code, row.path, row.series_key) == ("content_conflict", second, series.key)


def test_what_is_not_dicom_is_kept_with_a_reason_and_the_rest_goes_on(receiver: Receiver) -> None:
    before, after = image(1), image(2)
    with associate(receiver) as association:
        assert association.send_c_store(before).Status == 0x0000
        answer = send_bytes(association, b"%PDF-1.7 this is no image", uid="1.2.3.4.5")
        assert answer.Status == 0xB007
        assert "not readable" in answer.ErrorComment
        assert association.send_c_store(after).Status == 0x0000
    (path,) = receiver.quarantined()
    assert path.read_bytes().endswith(b"%PDF-1.7 this is no image")
    (job,) = receiver.catalog.list_jobs()
    assert job.state is JobState.REFUSED
    assert job.reason is not None
    assert job.reason.code == "not_dicom"
    assert "quarantine" in job.reason.sentence
    assert receiver.catalog.list_series()[0].instance_count == 2


def test_an_object_announced_as_another_is_refused(receiver: Receiver) -> None:
    with associate(receiver) as association:
        assert send_bytes(association, encoded(image()), uid="1.2.3.4.5").Status == 0xA900
    assert receiver.catalog.list_series() == []
    assert receiver.catalog.list_quarantine()[0].reason.code == "command_mismatch"


def test_an_object_of_another_class_than_its_context_is_refused(receiver: Receiver) -> None:
    dataset = image()
    with associate(receiver) as association:
        for context in association.accepted_contexts:
            context.abstract_syntax = "1.2.840.10008.5.1.4.1.1.4"
        answer = send_bytes(
            association, encoded(dataset), uid=dataset.SOPInstanceUID, sop_class="1.2.840.10008.5.1.4.1.1.4"
        )
        assert answer.Status == 0x0122
    assert receiver.files() == []


def test_names_from_the_wire_never_become_paths(receiver: Receiver, tmp_path: Path) -> None:
    outside = set(tmp_path.rglob("*")) - set((tmp_path / "var").rglob("*"))
    with associate(receiver, calling="../../x") as association:
        answer = send_bytes(association, encoded(image(SOPInstanceUID="1.2")), uid="../../../../outside")
        assert answer.Status == 0xA900
    assert set(tmp_path.rglob("*")) - set((tmp_path / "var").rglob("*")) == outside
    assert all("outside" not in path.name for path in (tmp_path / "var").rglob("*"))


def test_a_sender_that_breaks_off_leaves_no_file(receiver: Receiver) -> None:
    with associate(receiver) as association:
        assert association.send_c_store(image(1)).Status == 0x0000
        request = C_STORE()
        request.MessageID, request.Priority = 8, 0
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, "1.2.3.9.77"
        request.DataSet = BytesIO(bytes(1_000_000))
        message = peers_message(request)
        context_id = association.accepted_contexts[0].context_id
        fragments = list(message.encode_msg(context_id, association.acceptor.maximum_length))
        for fragment in fragments[:-1]:
            association.dul.send_pdu(fragment)
        peers.wait_until(lambda: len(receiver.files()) == 2, seconds=SECONDS, what="the second file to begin")
        association.abort()
    peers.wait_until(receiver.all_closed, seconds=SECONDS, what="the association to close")
    assert len(receiver.files()) == 1
    assert receiver.catalog.list_series()[0].instance_count == 1


def peers_message(request: C_STORE) -> Any:
    from pynetdicom.dimse_messages import C_STORE_RQ

    message = C_STORE_RQ()
    message.primitive_to_message(request)
    return message


def test_a_lost_connection_is_recorded_as_lost(receiver: Receiver) -> None:
    with associate(receiver) as association:
        assert association.send_c_store(image()).Status == 0x0000
        (row,) = receiver.catalog.open_associations()
        assert (row.called_ae, row.calling_ae, row.peer) == ("CECT_ART", "SCANNER", peers.HOST)
        association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        peers.wait_until(receiver.all_closed, seconds=SECONDS, what="the association to close")
    with receiver.catalog.read() as connection:
        outcomes = connection.exec_driver_sql("SELECT outcome FROM associations").scalars().all()
    assert outcomes == ["lost"]


def test_a_connection_without_a_word_is_gone_when_it_closes(receiver: Receiver) -> None:
    for _ in range(20):
        socket.create_connection((peers.HOST, receiver.port)).close()
    peers.wait_until(receiver.all_closed, seconds=SECONDS, what="the health checks to be forgotten")
    with associate(receiver) as association:
        assert association.is_established


def test_a_silent_connection_is_closed(start: Callable[..., Receiver]) -> None:
    receiver = start(acse_timeout_seconds=0.3)
    with socket.create_connection((peers.HOST, receiver.port), timeout=SECONDS) as silent:
        assert silent.recv(1) == b""
    peers.wait_until(receiver.all_closed, seconds=SECONDS, what="the connection to be forgotten")


def test_silent_connections_take_no_sender_its_place(start: Callable[..., Receiver]) -> None:
    receiver = start(max_associations=4)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection((peers.HOST, receiver.port), timeout=SECONDS))
            for _ in range(200)
        ]
        with associate(receiver) as association:
            assert association.is_established
            assert association.send_c_store(image()).Status == 0x0000
        # Of one address a few may wait; the oldest have been cut.
        assert silent[0].recv(1) == b""
        silent[-1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent[-1].recv(1)
    peers.wait_until(receiver.all_closed, seconds=SECONDS, what="the connections to be forgotten")


def test_an_idle_association_is_aborted(start: Callable[..., Receiver]) -> None:
    receiver = start(idle_timeout_seconds=0.5)
    with associate(receiver) as association:
        peers.wait_until(lambda: association.is_aborted, seconds=SECONDS, what="the abort")
    peers.wait_until(receiver.all_closed, seconds=SECONDS, what="the association to close")


@pytest.mark.parametrize(
    "pdu",
    [
        struct.pack(">BxL", 0x04, 2**31),
        struct.pack(">BxL", 0x01, 2**24),
        struct.pack(">BxL", 0x42, 4) + bytes(4),
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        struct.pack(">BxL", 0x01, 80) + bytes(80),
    ],
    ids=["huge P-DATA", "huge A-ASSOCIATE", "unknown type", "HTTP", "empty A-ASSOCIATE"],
)
def test_what_is_no_pdu_ends_its_connection_and_no_other(receiver: Receiver, pdu: bytes) -> None:
    with associate(receiver) as association:
        with socket.create_connection((peers.HOST, receiver.port), timeout=SECONDS) as bad:
            bad.sendall(pdu)
            while bad.recv(4096):
                pass
        assert association.send_c_store(image()).Status == 0x0000


def test_beyond_the_limit_associations_wait_their_turn(start: Callable[..., Receiver]) -> None:
    receiver = start(max_associations=2)
    with associate(receiver) as first, associate(receiver) as second:
        assert first.is_established
        assert second.is_established
        with associate(receiver) as third:
            assert third.is_rejected
            assert third.acceptor.primitive.result_str == "Rejected Transient"
    peers.wait_until(receiver.all_closed, seconds=SECONDS, what="the associations to close")
    with associate(receiver) as association:
        assert association.is_established


def test_parallel_associations_lose_nothing(receiver: Receiver) -> None:
    statuses: list[int] = []

    def send(part: int) -> None:
        with associate(receiver, calling=f"SENDER{part}") as association:
            statuses.extend(association.send_c_store(image(10 * part + number)).Status for number in range(10))

    threads = [threading.Thread(target=send, args=(part,)) for part in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [0x0000] * 60
    (series,) = receiver.catalog.list_series()
    assert series.instance_count == 60
    paths = {row.path for row in receiver.catalog.series_instances(series.key)}
    assert paths == set(receiver.files())


def test_small_pdus_and_fragments_are_put_together(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = image()
    value = encoded(dataset)
    with associate(receiver) as association:
        monkeypatch.setattr(type(association.dimse), "maximum_pdu_size", 40)
        assert send_bytes(association, value, uid=dataset.SOPInstanceUID).Status == 0x0000
        monkeypatch.undo()
    assert receiver.files()[0].read_bytes().endswith(value)


def test_a_listener_that_stops_gives_the_port_back(start: Callable[..., Receiver]) -> None:
    receiver = start()
    with associate(receiver) as association:
        assert association.send_c_store(image()).Status == 0x0000
        receiver.listener.stop(grace_seconds=0.1)
        peers.wait_until(lambda: association.is_aborted, seconds=SECONDS, what="the abort")
    assert not receiver.listener.is_listening
    with socket.socket() as probe:
        assert probe.connect_ex((peers.HOST, receiver.port)) != 0
    assert receiver.catalog.list_series()[0].instance_count == 1


def test_a_port_in_use_is_named(start: Callable[..., Receiver], tmp_path: Path) -> None:
    from dicom_node.errors import ReceiveError

    receiver = start()
    with Catalog(tmp_path / "other.sqlite") as catalog, pytest.raises(ReceiveError) as caught:
        Listener(receiver.settings, catalog).start()
    assert caught.value.code == "cannot_listen"
    assert str(receiver.port) in caught.value.sentence
