"""Senders that ask whether what they sent is safe: answered on their association or on the node's own, whatever ends between."""

import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from dicom_node.catalog import Catalog, CommitmentState
from dicom_node.config import LiveSettings, Settings, parse_settings
from dicom_node.derive.step import DeriveStep
from dicom_node.receive import Listener
from dicom_node.receive.gathered import MOST_BYTES
from dicom_node.series import CompletionStep
from dicom_node.service.committing import commitment_step
from tests import peers
from tests.catalog_jobs import Clock, run_out
from tests.certificates import make_pems
from tests.committing_peer import CommittingPeer, leave_answers_to_the_sender
from tests.tiny_model import translated_job

SLICES = 3


class Sender:
    """A modality: stores and asks, and takes reports on its association and, once it listens, on its port."""

    def __init__(self) -> None:
        self.port = peers.free_port()
        self.reports: list[Dataset] = []
        self.called_by: list[str] = []
        self._server: Any = None

    def listen(self, status: int = 0x0000, *, tls: ssl.SSLContext | None = None) -> None:
        entity = AE(ae_title="SCANNER")
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._reported, [status])]
        self._server = entity.start_server((peers.HOST, self.port), block=False, evt_handlers=handlers, ssl_context=tls)

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    @contextmanager
    def association(self, node_port: int, *, status: int = 0x0000, called: str = "CECT_ART") -> Iterator[Association]:
        entity = AE(ae_title="SCANNER")
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        entity.add_requested_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._reported, [status])]
        association = entity.associate(peers.HOST, node_port, ae_title=called, max_pdu=16384, evt_handlers=handlers)
        assert association.is_established
        leave_answers_to_the_sender(association)
        serve, idle = association._serve_request, threading.Event()
        idle.set()

        def serve_and_say(*message: Any) -> None:
            idle.clear()
            serve(*message)
            idle.set()

        association._serve_request = serve_and_say
        try:
            yield association
        finally:
            idle.wait(10.0)  # a release beside a report that is being served waits without end
            if association.is_established:
                association.release()

    def await_report(self, *, seconds: float = 10.0) -> Dataset:
        peers.wait_until(lambda: self.reports, seconds=seconds, what="the report")
        return self.reports[-1]

    def _reported(self, event: evt.Event, status: int) -> tuple[int, None]:
        assert event.event_type == (2 if "FailedSOPSequence" in event.event_information else 1)
        if status < 0:
            event.assoc.abort()
        self.called_by.append(event.assoc.requestor.ae_title)
        self.reports.append(event.event_information)
        return status, None


def ask(
    association: Association,
    uids: Sequence[str],
    *,
    transaction: str | None = None,
    sop_class: str = CTImageStorage,
    action: int = 1,
    padding: int = 0,
) -> int | None:
    """N-ACTION; the status of the answer."""
    request = Dataset()
    request.TransactionUID = transaction or generate_uid()
    request.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        request.ReferencedSOPSequence.append(item)
    if padding:
        request.add_new((0x0009, 0x0010), "LO", "TESTS")
        request.add_new((0x0009, 0x1001), "OB", bytes(padding))
    answer, _ = association.send_n_action(
        request, action, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    status: int | None = answer.get("Status")
    return status


def kept(report: Dataset) -> list[str]:
    return sorted(item.ReferencedSOPInstanceUID for item in report.get("ReferencedSOPSequence", []))


def failures(report: Dataset) -> dict[str, int]:
    return {item.ReferencedSOPInstanceUID: item.FailureReason for item in report.get("FailedSOPSequence", [])}


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender()
    yield sender
    sender.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return parse_settings(
        {"node": {"data_dir": str(tmp_path / "data"), "host": peers.HOST, "port": peers.free_port(), "min_free_mib": 0}}
    )


@pytest.fixture
def reachable(settings: Settings, sender: Sender) -> LiveSettings:
    """The settings of a node that knows where the sender listens."""
    scanner = {"ae_title": "SCANNER", "host": peers.HOST, "port": sender.port}
    return LiveSettings(parse_settings({"node": {**settings.node.model_dump(exclude_unset=True), "peers": [scanner]}}))


@pytest.fixture
def catalog(settings: Settings, clock: Clock) -> Iterator[Catalog]:
    with Catalog(settings.catalog_location, clock=clock) as catalog:
        yield catalog


@pytest.fixture
def listen(catalog: Catalog) -> Iterator[Callable[[Settings], Listener]]:
    running: list[Listener] = []

    def start(settings: Settings) -> Listener:
        running.append(Listener(settings, catalog))
        running[-1].start()
        return running[-1]

    yield start
    for listener in running:
        listener.stop(grace_seconds=0.5)


@pytest.fixture
def images(write_ct_series: Any) -> list[Dataset]:
    return [dcmread(path) for path in write_ct_series(np.zeros((SLICES, 4, 4)))]


def store(association: Association, images: Sequence[Dataset]) -> list[str]:
    for image in images:
        assert association.send_c_store(image).Status == 0x0000
    return sorted(image.SOPInstanceUID for image in images)


def states(catalog: Catalog) -> list[str]:
    return [str(one.state) for one in catalog.list_commitment_requests()]


def test_sender_whose_place_is_unknown_is_told_on_its_association(
    settings: Settings, catalog: Catalog, sender: Sender, images: list[Dataset], listen: Callable[..., Listener]
) -> None:
    listen(settings)
    with sender.association(settings.node.port) as association:
        uids = store(association, images[:2])
        assert ask(association, uids) == 0x0000
        report = sender.await_report()
        assert (kept(report), failures(report)) == (uids, {})
        store(association, images[2:])
    peers.wait_until(lambda: states(catalog) == ["told"], seconds=5.0, what="the record")
    assert not commitment_step(settings, catalog).run_once()


def test_series_that_its_sender_asks_about_is_complete_by_that(
    settings: Settings,
    catalog: Catalog,
    clock: Clock,
    sender: Sender,
    images: list[Dataset],
    listen: Callable[..., Listener],
) -> None:
    listen(settings)
    step = CompletionStep(settings, catalog, model_identity=lambda model: model, monotonic=clock.monotonic)

    def signal() -> str | None:
        step.run_once()
        return catalog.list_series()[0].completion_signal

    with sender.association(settings.node.port) as association:
        uids = store(association, images)
        assert signal() is None
        assert ask(association, uids) == 0x0000
        clock.advance(settings.series.confirmed_seconds)
        assert peers.wait_until(signal, seconds=10.0, what="the series to be complete") == "commitment"
        assert catalog.open_associations() != [], "though its sender is still there"


def test_what_is_not_there_is_said_with_its_reason(
    settings: Settings, catalog: Catalog, sender: Sender, images: list[Dataset], listen: Callable[..., Listener]
) -> None:
    """And in so many PDUs as it takes: the list is longer than one."""
    listen(settings)
    never = [generate_uid() for _ in range(400)]
    with sender.association(settings.node.port) as association:
        first, gone, _ = store(association, images)
        for one in catalog.held_instances([gone])[gone]:
            assert one.path is not None
            one.path.unlink()
        assert ask(association, [first, gone, *never]) == 0x0000
        report = sender.await_report()
        assert kept(report) == [first]
        assert failures(report) == dict.fromkeys([gone, *never], 0x0112)
        sender.reports.clear()
        assert ask(association, [first], sop_class=MRImageStorage) == 0x0000
        assert failures(sender.await_report()) == {first: 0x0119}


def test_sender_with_a_place_is_called_there_once_it_listens(
    reachable: LiveSettings,
    catalog: Catalog,
    clock: Clock,
    sender: Sender,
    images: list[Dataset],
    listen: Callable[..., Listener],
) -> None:
    listen(reachable.current)
    step = commitment_step(reachable, catalog)
    with sender.association(reachable.current.node.port) as association:
        uids = store(association, images)
        assert ask(association, uids) == 0x0000
        assert step.run_once()
        (waiting,) = catalog.list_commitment_requests()
        assert waiting.reason is not None
        assert (waiting.state, waiting.reason.code) == (CommitmentState.WAITING, "no_connection")
        assert not step.run_once(), "not due yet"
    assert sender.reports == [], "told nothing on the association on which it asked"
    sender.listen()
    clock.advance(10)
    assert step.run_once()
    assert kept(sender.await_report()) == uids
    assert sender.called_by == ["CECT_ART"], "by the title that was called"
    assert states(catalog) == ["told"]


def test_sender_whose_entry_says_tls_is_called_over_tls_and_told_nothing_by_who_is_not_it(
    reachable: LiveSettings,
    catalog: Catalog,
    clock: Clock,
    sender: Sender,
    images: list[Dataset],
    listen: Callable[..., Listener],
    tmp_path: Path,
) -> None:
    """Both show certificates; in the clear, or with another's certificate, nothing is said and it is tried again."""
    pems = make_pems(tmp_path)
    node = reachable.current.node.model_dump(exclude_unset=True)
    tls = {
        "ca": str(pems["ca"].certificate),
        "certificate": str(pems["node"].certificate),
        "key": str(pems["node"].key),
    }
    reachable.put(parse_settings({"node": {**node, "peers": [{**node["peers"][0], "tls": tls}]}}))
    listen(reachable.current)
    step = commitment_step(reachable, catalog)

    def context(name: str) -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pems["ca"].certificate))
        made.load_cert_chain(*pems[name])
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    with sender.association(reachable.current.node.port) as association:
        uids = store(association, images)
        assert ask(association, uids) == 0x0000
    in_the_clear = (None, {"tls_failed", "tls_unfinished"})  # whether its abort comes before the end of the connection
    for wrong, reasons in (in_the_clear, (context("stranger"), {"tls_certificate_untrusted"})):
        sender.listen(tls=wrong)
        assert step.run_once()
        (waiting,) = catalog.list_commitment_requests()
        assert waiting.reason is not None
        assert waiting.state is CommitmentState.WAITING
        assert waiting.reason.code in reasons
        sender.close()
        clock.advance(60)
    assert sender.reports == []
    sender.listen(tls=context("peer"))
    assert step.run_once()
    assert kept(sender.await_report()) == uids
    assert states(catalog) == ["told"]


def test_kill_while_a_sender_is_being_told_loses_no_answer(
    reachable: LiveSettings,
    catalog: Catalog,
    clock: Clock,
    sender: Sender,
    images: list[Dataset],
    listen: Callable[..., Listener],
) -> None:
    listener = listen(reachable.current)
    with sender.association(reachable.current.node.port) as association:
        uids = store(association, images)
        assert ask(association, uids) == 0x0000
    listener.stop(grace_seconds=0.5)
    assert catalog.claim_commitment_request() is not None
    sender.listen()
    catalog.close()
    with Catalog(reachable.current.catalog_location, clock=clock) as reopened:
        step = commitment_step(reachable, reopened)
        assert not step.run_once(), "the claim still holds"
        run_out(reopened, clock)
        assert step.run_once()
        assert states(reopened) == ["told"]
    assert kept(sender.await_report()) == uids


def test_sender_that_goes_before_it_is_told_and_has_no_place_is_named(
    settings: Settings, catalog: Catalog, sender: Sender, listen: Callable[..., Listener]
) -> None:
    listen(settings)
    with sender.association(settings.node.port, status=-1) as association:
        ask(association, [generate_uid()])
        sender.await_report()
    step = commitment_step(settings, catalog)
    peers.wait_until(step.run_once, seconds=10.0, what="the request to be due")
    (failed,) = catalog.list_commitment_requests()
    assert failed.reason is not None
    assert (failed.state, failed.reason.code) == (CommitmentState.FAILED, "commitment_peer_unknown")
    assert "SCANNER at 127.0.0.1" in failed.reason.sentence


def test_sender_that_refuses_its_report_is_left_alone(
    reachable: LiveSettings, catalog: Catalog, sender: Sender, listen: Callable[..., Listener]
) -> None:
    listen(reachable.current)
    sender.listen(status=0x0112)
    with sender.association(reachable.current.node.port, called="S2LDM") as association:
        assert ask(association, [generate_uid()]) == 0x0000
    step = commitment_step(reachable, catalog)
    assert step.run_once()
    (failed,) = catalog.list_commitment_requests()
    assert failed.reason is not None
    assert (failed.state, failed.reason.code) == (CommitmentState.FAILED, "report_refused")
    assert "0x0112" in failed.reason.sentence


def test_request_that_is_none_is_refused_and_the_association_goes_on(
    settings: Settings, catalog: Catalog, sender: Sender, images: list[Dataset], listen: Callable[..., Listener]
) -> None:
    listen(settings)
    with sender.association(settings.node.port) as association:
        assert ask(association, [generate_uid()], action=2) == 0x0123
        assert ask(association, []) == 0x0115
        assert ask(association, ["1.2.3"], transaction="1.2..3") == 0x0115
        assert ask(association, ["1.2.3"], padding=MOST_BYTES) == 0x0213
        store(association, images)
    assert states(catalog) == []


def test_same_request_again_is_answered_again(
    settings: Settings, catalog: Catalog, sender: Sender, listen: Callable[..., Listener]
) -> None:
    listen(settings)
    transaction = generate_uid()
    with sender.association(settings.node.port) as association:
        for _ in range(2):
            assert ask(association, ["1.2.3"], transaction=transaction) == 0x0000
        peers.wait_until(lambda: len(sender.reports) == 2, seconds=10.0, what="both reports")
    peers.wait_until(lambda: states(catalog) == ["told"], seconds=5.0, what="the record")


def test_node_killed_with_questions_open_both_ways_has_both_answered_by_the_next(
    tmp_path: Path, sender: Sender, write_ct_series: Any
) -> None:
    """A destination that was asked answers the next node, and a sender that asked is told by it."""
    folder, archive_port = tmp_path / "node", peers.free_port()
    configuration: dict[str, Any] = {
        "node": {"peers": [{"ae_title": "SCANNER", "port": sender.port}, {"ae_title": "PACS"}]},
        "routes": {"CECT_ART": {"phase": "arterial", "destinations": ["pacs"]}},
        "destinations": {
            "pacs": {"ae_title": "PACS", "host": peers.HOST, "port": archive_port, "verify": "commitment"}
        },
    }
    hu = np.zeros((SLICES, 4, 4), dtype=np.float32)
    data_dir = folder / "var"
    with Catalog(data_dir / "catalog.sqlite") as catalog:
        derived = parse_settings({**configuration, "node": {"data_dir": str(data_dir)}})
        job_id = translated_job(catalog, write_ct_series(hu), hu, route="CECT_ART", folder=derived.work_dir)
        assert DeriveStep(derived, catalog).run_once()
    with closing(CommittingPeer(archive_port)) as archive:
        with peers.node(folder, configuration) as node:
            peers.wait_until(lambda: archive.asked, seconds=60.0, what="the destination to be asked")
            with sender.association(node.port, called="S2LDM") as association:
                assert ask(association, ["1.2.3"]) == 0x0000
            node.kill()
        assert sender.reports == []
        sender.listen()
        with peers.node(folder, configuration) as node:
            assert archive.call_back(node.port) == 0x0000
            peers.wait_until(
                lambda: node.get_json(f"/api/jobs/{job_id}")["state"] == "done", seconds=60.0, what="the delivery"
            )
            assert failures(sender.await_report(seconds=60.0)) == {"1.2.3": 0x0112}
        assert len(archive.received) == SLICES
