"""Destinations that are down, slow, full, rude or picky: what is recorded, and that nothing is sent twice or lost."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.sop_class import Verification

from dicom_node.catalog import Catalog, DeliveryRow, DeliveryState, JobState, Lease, Verdict
from dicom_node.config import Settings, parse_settings
from dicom_node.deliver.destinations.dicom import DicomSettings, scu
from dicom_node.deliver.destinations.dicom.scu import echo, send_files
from dicom_node.deliver.retry import CircuitBreaker
from dicom_node.deliver.step import DeliverStep
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.series import write_derived_series
from dicom_node.derive.step import DeriveStep
from dicom_node.errors import DeliverError, RetriableDeliverError
from s2ldm_core.translation import Translation
from tests import peers
from tests.catalog_jobs import Clock, run_out
from tests.tiny_model import translated_job

SLICES = 4


class StorePeer:
    """A storage SCP that answers as the test says; ``received`` lists the SOP Instance UIDs in order of arrival."""

    def __init__(self, port: int, answer: Callable[[int], int] = lambda _: 0x0000, **options: object) -> None:
        self.received: list[str] = []
        self._answer = answer
        entity = AE(ae_title="PACS")
        entity.add_supported_context(options.get("sop_class", SecondaryCaptureImageStorage))
        entity.require_called_aet = bool(options.get("require_called_aet"))
        entity.maximum_associations = int(options.get("maximum_associations", 10))
        self._server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def close(self) -> None:
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        self.received.append(event.request.AffectedSOPInstanceUID)
        status = self._answer(len(self.received))
        if status < 0:
            event.assoc.abort()
            return 0x0000
        return status


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def peer(port: int) -> Iterator[Callable[..., StorePeer]]:
    with ExitStack() as running:

        def start(*args: object, **options: object) -> StorePeer:
            one = StorePeer(port, *args, **options)
            running.callback(one.close)
            return one

        yield start


@pytest.fixture
def settings(tmp_path: Path, port: int) -> Settings:
    return parse_settings(
        {
            "node": {"data_dir": str(tmp_path / "data")},
            "routes": {"CECT_ART": {"phase": "arterial", "destinations": ["pacs"]}},
            "destinations": {
                "pacs": {
                    "ae_title": "PACS",
                    "host": "127.0.0.1",
                    "port": port,
                    "connect_timeout_seconds": 1,
                    "response_timeout_seconds": 1,
                    "retry_seconds": 10,
                    "max_attempts": 3,
                }
            },
        }
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(settings: Settings, clock: Clock) -> Iterator[Catalog]:
    with Catalog(settings.catalog_location, clock=clock) as catalog:
        yield catalog


@pytest.fixture
def step(settings: Settings, catalog: Catalog, clock: Clock) -> DeliverStep:
    return DeliverStep(settings, catalog, breaker=CircuitBreaker(threshold=100), clock=clock)


@pytest.fixture
def make_job(settings: Settings, catalog: Catalog, write_ct_series: Any) -> Callable[..., int]:
    def make(folder: str = "series") -> int:
        hu = np.zeros((SLICES, 4, 4), dtype=np.float32)
        paths = write_ct_series(hu, folder=folder)
        job_id = translated_job(catalog, paths, hu, route="CECT_ART", folder=settings.work_dir)
        assert DeriveStep(settings, catalog).run_once()
        return job_id

    return make


@pytest.fixture
def job_id(make_job: Callable[..., int]) -> int:
    return make_job()


def delivery(catalog: Catalog, job_id: int) -> Any:
    (one,) = catalog.list_deliveries(job_id=job_id)
    return one


def test_destination_that_is_down_gets_the_series_once_it_is_up(
    step: DeliverStep, catalog: Catalog, clock: Clock, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    assert step.run_once()
    waiting = delivery(catalog, job_id)
    assert (waiting.state, waiting.reason.code, waiting.attempts) == (DeliveryState.PENDING, "no_connection", 1)
    assert 5 <= (waiting.not_before - clock()).total_seconds() <= 10
    assert not step.run_once(), "not due yet"
    store = peer()
    clock.advance(10)
    assert step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert catalog.get_job(job_id).state is JobState.DONE
    assert len(store.received) == SLICES


def test_peer_that_runs_full_gets_only_the_rest_later(
    step: DeliverStep, catalog: Catalog, clock: Clock, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    store = peer(lambda number: 0xA700 if number == 3 else 0x0000)
    step.run_once()
    waiting = delivery(catalog, job_id)
    assert (waiting.state, waiting.reason.code) == (DeliveryState.PENDING, "peer_out_of_resources")
    assert waiting.accepted_count == 2
    assert [one.status for one in catalog.delivery_instances(waiting.id)] == [0, 0, 0xA700, None]
    clock.advance(10)
    step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert len(store.received) == SLICES + 1
    assert store.received[2] == store.received[3]


def test_refused_instance_quarantines_the_delivery_after_the_others_are_sent(
    step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    peer(lambda number: 0xC000 if number == 2 else 0x0000)
    step.run_once()
    failed = delivery(catalog, job_id)
    assert (failed.state, failed.reason.code, failed.accepted_count) == (
        DeliveryState.FAILED,
        "peer_refused",
        SLICES - 1,
    )
    assert "0xC000" in failed.reason.sentence
    assert catalog.get_job(job_id).state is JobState.FAILED


def test_retrying_the_job_sends_only_what_was_refused(
    step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    store = peer(lambda number: 0xC000 if number == 2 else 0x0000)
    step.run_once()
    catalog.retry_job(job_id)
    step.run_once()
    assert catalog.get_job(job_id).state is JobState.DONE
    assert len(store.received) == SLICES + 1
    assert store.received[-1] == store.received[1]


def test_abort_in_the_middle_is_resumed(
    step: DeliverStep, catalog: Catalog, clock: Clock, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    store = peer(lambda number: -1 if number == 3 else 0x0000)
    step.run_once()
    waiting = delivery(catalog, job_id)
    assert (waiting.state, waiting.reason.code, waiting.accepted_count) == (DeliveryState.PENDING, "no_answer", 2)
    clock.advance(10)
    step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert len(store.received) == SLICES + 1


def test_peer_that_holds_what_it_could_not_answer_for_calls_it_a_duplicate(
    step: DeliverStep, catalog: Catalog, clock: Clock, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    store = peer(lambda number: -1 if number == 3 else 0x0111 if number == 4 else 0x0000)
    step.run_once()
    clock.advance(10)
    step.run_once()
    done = delivery(catalog, job_id)
    assert (done.state, done.accepted_count) == (DeliveryState.DONE, SLICES)
    assert [one.status for one in catalog.delivery_instances(done.id)] == [0, 0, 0x0111, 0]
    assert store.received[2] == store.received[3]


def test_peer_that_does_not_answer_in_time_is_tried_again(
    step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    release = threading.Event()
    peer(lambda _: 0x0000 * release.wait(10))
    began = time.monotonic()
    step.run_once()
    took = time.monotonic() - began
    release.set()
    waiting = delivery(catalog, job_id)
    assert (waiting.state, waiting.reason.code, waiting.accepted_count) == (DeliveryState.PENDING, "no_answer", 0)
    assert took < 8


def test_peer_without_the_sop_class_is_quarantined(
    step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    peer(sop_class=CTImageStorage)
    step.run_once()
    failed = delivery(catalog, job_id)
    assert (failed.state, failed.reason.code) == (DeliveryState.FAILED, "no_context")
    assert "output form" in failed.reason.remedy


def test_echo_names_the_storage_classes_that_the_peer_does_not_take(settings: Settings, port: int) -> None:
    entity = AE(ae_title="PACS")
    entity.add_supported_context(Verification)
    entity.add_supported_context(CTImageStorage)
    server = entity.start_server(("127.0.0.1", port), block=False)
    try:
        refused = echo(
            settings.destinations["pacs"], calling_ae="S2LDM", storage=(CTImageStorage, SecondaryCaptureImageStorage)
        )
    finally:
        server.shutdown()
    assert refused == (SecondaryCaptureImageStorage,)


def test_echo_of_a_peer_that_knows_no_verification_is_an_error_with_a_reason(
    settings: Settings, peer: Callable[..., StorePeer]
) -> None:
    peer()
    with pytest.raises(DeliverError) as caught:
        echo(settings.destinations["pacs"], calling_ae="S2LDM", storage=(SecondaryCaptureImageStorage,))
    assert caught.value.code == "echo_refused"


def test_permanent_rejection_is_quarantined(
    settings: Settings, step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    peer(require_called_aet=True)
    object.__setattr__(settings.destinations["pacs"], "ae_title", "SOMEBODY")
    step.run_once()
    failed = delivery(catalog, job_id)
    assert (failed.state, failed.reason.code) == (DeliveryState.FAILED, "association_rejected")
    assert "AE titles" in failed.reason.remedy


def test_transient_rejection_is_tried_again(
    step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., StorePeer], port: int
) -> None:
    peer(maximum_associations=1)
    entity = AE()
    entity.add_requested_context(SecondaryCaptureImageStorage)
    holder = entity.associate("127.0.0.1", port, ae_title="PACS")
    assert holder.is_established
    step.run_once()
    holder.release()
    waiting = delivery(catalog, job_id)
    assert (waiting.state, waiting.reason.code) == (DeliveryState.PENDING, "association_rejected_for_now")


def test_attempts_are_limited_and_the_reason_says_so(
    step: DeliverStep, catalog: Catalog, clock: Clock, job_id: int
) -> None:
    for _ in range(3):
        assert step.run_once()
        clock.advance(3600)
    failed = delivery(catalog, job_id)
    assert (failed.state, failed.reason.code) == (DeliveryState.FAILED, "no_connection")
    assert "Given up after 3 attempts" in failed.reason.sentence
    assert catalog.get_job(job_id).state is JobState.FAILED


def test_open_circuit_spares_the_other_deliveries_of_a_dead_destination(
    settings: Settings, catalog: Catalog, clock: Clock, make_job: Callable[..., int], peer: Callable[..., StorePeer]
) -> None:
    step = DeliverStep(settings, catalog, breaker=CircuitBreaker(threshold=2), clock=clock)
    jobs = [make_job(f"series {number}") for number in range(4)]
    while step.run_once():
        pass
    assert sorted(delivery(catalog, job_id).attempts for job_id in jobs) == [0, 0, 1, 1]
    peer()
    clock.advance(11)
    while step.run_once():
        pass
    assert {delivery(catalog, job_id).state for job_id in jobs} == {DeliveryState.DONE}


def test_delivery_interrupted_by_a_kill_goes_on_with_what_is_missing(
    step: DeliverStep, catalog: Catalog, clock: Clock, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    store = peer(lambda number: 0xA700 if number == 3 else 0x0000)
    step.run_once()
    clock.advance(10)
    assert catalog.claim_delivery(clock()) is not None  # the node dies while sending
    run_out(catalog, clock)
    step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert len(store.received) == SLICES + 1


def test_stopping_in_the_middle_ends_in_order_and_the_next_start_sends_the_rest(
    settings: Settings, catalog: Catalog, clock: Clock, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    step = DeliverStep(settings, catalog, clock=clock)

    def stop_at_second(number: int) -> int:
        if number == 2:
            step.stop()
        return 0x0000

    store = peer(stop_at_second)
    step.run_once()
    cut = delivery(catalog, job_id)
    assert (cut.state, cut.accepted_count) == (DeliveryState.PENDING, 2)
    assert DeliverStep(settings, catalog, clock=clock).run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert len(store.received) == SLICES


def test_derived_file_that_is_gone_is_quarantined(
    step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    peer()
    catalog.derived_instances(job_id)[1].path.unlink()
    step.run_once()
    assert delivery(catalog, job_id).reason.code == "derived_file_gone"


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that hands its first connection to ``talk``."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]


@pytest.mark.parametrize(("response_timeout_seconds", "longest_answer_seconds"), [(1.0, 900.0), (2000.0, 4001.0)])
def test_lease_is_patient_for_as_long_as_an_answer_may_take(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    job_id: int,
    peer: Callable[..., StorePeer],
    monkeypatch: pytest.MonkeyPatch,
    response_timeout_seconds: float,
    longest_answer_seconds: float,
) -> None:
    peer()
    object.__setattr__(settings.destinations["pacs"], "response_timeout_seconds", response_timeout_seconds)
    patience: list[float] = []
    hold = catalog.hold

    def held(claim: DeliveryRow, *, patience_seconds: float) -> Lease:
        patience.append(patience_seconds)
        return hold(claim, patience_seconds=patience_seconds)

    monkeypatch.setattr(catalog, "hold", held)
    step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert patience[0] >= longest_answer_seconds


def test_something_else_on_the_port_is_told_apart_from_nothing() -> None:
    done = threading.Event()
    with raw_server(lambda connection: (connection.recv(65536), done.wait(10))) as port:
        destination = DicomSettings(ae_title="X", host="127.0.0.1", port=port, response_timeout_seconds=0.5)
        with pytest.raises(RetriableDeliverError) as caught:
            echo(destination, calling_ae="ME")
        done.set()
    assert caught.value.code == "no_association"


def test_peer_that_stops_reading_does_not_hold_the_sender_for_ever(
    write_ct_series: Any, tmp_path: Path, peer: Callable[..., StorePeer], port: int
) -> None:
    """A relay before the peer passes the association on, and then reads no more of an instance too big to buffer."""
    peer()
    hu = np.zeros((1, 3000, 3000), dtype=np.int16)
    made = Translation(phase="arterial", model_name="m", model_version="1", weights_sha256="0" * 64, seed=0, steps=1)
    info = DerivationInfo(translation=made, route="R")
    series = write_derived_series(write_ct_series(hu), hu, info=info, folder=tmp_path / "big")
    done = threading.Event()

    def relay(client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with socket.create_connection(("127.0.0.1", port)) as server:
            server.sendall(client.recv(65536))
            client.sendall(server.recv(65536))
            done.wait(20)

    with raw_server(relay) as relayed:
        destination = DicomSettings(ae_title="PACS", host="127.0.0.1", port=relayed, response_timeout_seconds=1)
        began = time.monotonic()
        answers = send_files([one.path for one in series.instances], destination, calling_ae="ME")
        took = time.monotonic() - began
        done.set()
    assert [(answer.status, answer.verdict) for answer in answers] == [(None, Verdict.RETRIABLE)]
    assert took < 8


class LateWake(threading.Event):
    """A thread that waits for this event goes on late, as on a machine with more to do than it has cores."""

    def wait(self, timeout: float | None = None) -> bool:
        woken = super().wait(timeout)
        time.sleep(0.05)
        return woken


def test_an_answer_reaches_the_sender_on_a_busy_machine(
    peer: Callable[..., StorePeer], port: int, write_ct_series: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacs = peer(sop_class=CTImageStorage)
    as_it_is, send = scu.open_association, DIMSEServiceProvider.send_msg

    @contextmanager
    def with_a_late_reactor(*args: object, **named: object) -> Iterator[Association]:
        with as_it_is(*args, **named) as association:
            association._reactor_checkpoint = LateWake()
            association._reactor_checkpoint.set()
            time.sleep(0.02)
            yield association

    def sent_and_interrupted(self: DIMSEServiceProvider, *args: object) -> None:
        send(self, *args)
        time.sleep(0.1)

    monkeypatch.setattr(scu, "open_association", with_a_late_reactor)
    monkeypatch.setattr(DIMSEServiceProvider, "send_msg", sent_and_interrupted)
    paths = write_ct_series(np.zeros((3, 4, 4), dtype=np.int16))
    destination = DicomSettings(ae_title="PACS", host="127.0.0.1", port=port, response_timeout_seconds=1)
    answers = send_files(paths, destination, calling_ae="ME")
    assert [answer.verdict for answer in answers] == [Verdict.ACCEPTED] * 3
    assert len(pacs.received) == 3


def test_file_that_is_not_dicom_is_named(tmp_path: Path, port: int) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    with pytest.raises(DeliverError) as caught:
        send_files([tmp_path / "letter.txt"], DicomSettings(ae_title="X", host="127.0.0.1", port=port), calling_ae="ME")
    assert caught.value.code == "file_unreadable"
    assert "letter.txt" in caught.value.sentence


def test_destination_that_hangs_leaves_the_others_theirs(
    settings: Settings, catalog: Catalog, clock: Clock, peer: Callable[..., StorePeer], write_ct_series: Any
) -> None:
    store = peer()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pacs = settings.destinations["pacs"]
        hung = pacs.model_copy(update={"port": silent.getsockname()[1], "response_timeout_seconds": 30.0})
        route = settings.routes["CECT_ART"].model_copy(update={"destinations": ("hung", "pacs")})
        settings = settings.model_copy(
            update={"destinations": {"hung": hung, "pacs": pacs}, "routes": {"CECT_ART": route}}
        )
        for number in range(3):
            hu = np.zeros((SLICES, 4, 4), dtype=np.float32)
            paths = write_ct_series(hu, folder=f"series {number}")
            translated_job(catalog, paths, hu, route="CECT_ART", folder=settings.work_dir)
            assert DeriveStep(settings, catalog).run_once()
        step = DeliverStep(settings, catalog, clock=clock)

        def work() -> None:
            while step.run_once():
                pass

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        peers.wait_until(
            lambda: catalog.count_deliveries().get(("pacs", DeliveryState.DONE)) == 3, seconds=20.0, what="the other's"
        )
        assert ("hung", DeliveryState.DONE) not in catalog.count_deliveries()
        assert len(store.received) == 3 * SLICES
        step.stop()
        silent.close()
    for thread in threads:
        thread.join(60.0)


@pytest.mark.parametrize("associations", [1, 3])
def test_no_more_deliveries_go_to_a_destination_at_once_than_it_has_associations(
    associations: int,
    settings: Settings,
    catalog: Catalog,
    clock: Clock,
    write_ct_series: Any,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hung = settings.destinations["pacs"].model_copy(
            update={"port": silent.getsockname()[1], "response_timeout_seconds": 30.0, "associations": associations}
        )
        settings = settings.model_copy(update={"destinations": {"pacs": hung}})
        for number in range(4):
            hu = np.full((SLICES, 4, 4), number, dtype=np.float32)
            paths = write_ct_series(hu, folder=f"series {number}")
            translated_job(catalog, paths, hu, route="CECT_ART", folder=settings.work_dir)
            assert DeriveStep(settings, catalog).run_once()
        step = DeliverStep(settings, catalog, clock=clock)
        threads = [threading.Thread(target=step.run_once) for _ in range(4)]
        for thread in threads:
            thread.start()
        # Who finds no delivery ends at once; the others wait for the peer.
        peers.wait_until(
            lambda: sum(thread.is_alive() for thread in threads) == associations, seconds=20.0, what="the others' end"
        )
        assert catalog.count_deliveries()["pacs", DeliveryState.SENDING] == associations
        assert catalog.count_deliveries()["pacs", DeliveryState.PENDING] == 4 - associations
        step.stop()
    for thread in threads:
        thread.join(60.0)


def test_the_beginning_of_a_delivery_is_told_once_and_before_anything_is_sent(
    settings: Settings, catalog: Catalog, clock: Clock, job_id: int, peer: Callable[..., StorePeer]
) -> None:
    """Its audit message must be there whatever happens then (PS3.15 A.5.3.3)."""
    sent: list[str] = []
    told: list[tuple[int, int]] = []
    step = DeliverStep(
        settings,
        catalog,
        breaker=CircuitBreaker(threshold=100),
        clock=clock,
        on_begin=lambda delivery_id: told.append((delivery_id, len(sent))),
    )
    assert step.run_once()  # nobody is there
    clock.advance(60)
    sent = peer().received
    assert step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert told == [(delivery(catalog, job_id).id, 0)]
    assert len(sent) == SLICES
