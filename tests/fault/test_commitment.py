"""Destinations that are asked to keep what they accepted: they answer now, later, not at all, or that they do not."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import generate_uid

from dicom_node.catalog import Catalog, DeliveryState, JobState
from dicom_node.config import Settings, parse_settings
from dicom_node.deliver.destinations.dicom import commitment
from dicom_node.deliver.retry import CircuitBreaker
from dicom_node.deliver.step import DeliverStep
from dicom_node.derive.step import DeriveStep
from dicom_node.errors import ConfigError, DeliverError
from dicom_node.receive import Listener
from dicom_node.service.destination_check import check_destination
from tests.catalog_jobs import Clock, run_out
from tests.committing_peer import CommittingPeer
from tests.peers import free_port
from tests.tiny_model import translated_job

SLICES = 4
ANSWER_SECONDS = 600


@pytest.fixture(autouse=True)
def _listen_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment, "_LISTEN_SECONDS", 0.1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def peer() -> Iterator[Callable[..., CommittingPeer]]:
    with ExitStack() as running:

        def start(settings: Settings, **options: Any) -> CommittingPeer:
            one = CommittingPeer(settings.destinations["pacs"].port, **options)
            running.callback(one.close)
            return one

        yield start


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return parse_settings(
        {
            "node": {"data_dir": str(tmp_path / "data"), "host": "127.0.0.1", "port": free_port(), "min_free_mib": 0},
            "routes": {"CECT_ART": {"phase": "arterial", "destinations": ["pacs"]}},
            "destinations": {
                "pacs": {
                    "ae_title": "PACS",
                    "host": "127.0.0.1",
                    "port": free_port(),
                    "connect_timeout_seconds": 2,
                    "response_timeout_seconds": 5,
                    "retry_seconds": 10,
                    "max_attempts": 3,
                    "verify": "commitment",
                    "commitment_answer_seconds": ANSWER_SECONDS,
                }
            },
        }
    )


@pytest.fixture
def catalog(settings: Settings, clock: Clock) -> Iterator[Catalog]:
    with Catalog(settings.catalog_location, clock=clock) as catalog:
        yield catalog


@pytest.fixture
def step(settings: Settings, catalog: Catalog, clock: Clock) -> DeliverStep:
    return DeliverStep(settings, catalog, breaker=CircuitBreaker(threshold=1), clock=clock)


@pytest.fixture
def listener(settings: Settings, catalog: Catalog) -> Iterator[Listener]:
    listener = Listener(settings, catalog)
    listener.start()
    yield listener
    listener.stop(grace_seconds=0.5)


@pytest.fixture
def job_id(settings: Settings, catalog: Catalog, write_ct_series: Any) -> int:
    hu = np.zeros((SLICES, 4, 4), dtype=np.float32)
    job_id = translated_job(catalog, write_ct_series(hu), hu, route="CECT_ART", folder=settings.work_dir)
    assert DeriveStep(settings, catalog).run_once()
    return job_id


def delivery(catalog: Catalog, job_id: int) -> Any:
    (one,) = catalog.list_deliveries(job_id=job_id)
    return one


def standing(catalog: Catalog, job_id: int) -> tuple[str, str | None, int]:
    """State, reason and attempts of the delivery."""
    one = delivery(catalog, job_id)
    return one.state, None if one.reason is None else one.reason.code, one.attempts


def test_answer_on_the_same_association_ends_the_delivery(
    settings: Settings, step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., CommittingPeer]
) -> None:
    archive = peer(settings, at_once=True)
    assert step.run_once()
    assert standing(catalog, job_id) == (DeliveryState.DONE, None, 1)
    assert catalog.get_job(job_id).state is JobState.DONE
    assert [sorted(one) for one in archive.asked] == [sorted(archive.received)]
    assert len(archive.received) == SLICES


def test_answer_that_is_recorded_is_answered_before_the_association_ends(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    job_id: int,
    peer: Callable[..., CommittingPeer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a machine with more to do than it has cores: what the catalog has is seen before the peer has its answer."""
    take = catalog.take_commitment

    def taken_and_interrupted(*args: Any, **named: Any) -> bool:
        known = take(*args, **named)
        time.sleep(0.3)
        return known

    monkeypatch.setattr(catalog, "take_commitment", taken_and_interrupted)
    archive = peer(settings, at_once=True)
    step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    archive.await_reports()
    assert archive.told == [0x0000]


def test_answer_on_an_association_of_the_peers_own_ends_the_delivery(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    job_id: int,
    listener: Listener,
    peer: Callable[..., CommittingPeer],
) -> None:
    archive = peer(settings)
    step.run_once()
    assert standing(catalog, job_id) == (DeliveryState.PENDING, "commitment_awaited", 0)
    assert catalog.get_job(job_id).state is JobState.DELIVERING
    assert not step.run_once(), "rests until it is answered"

    assert archive.call_back(settings.node.port) == 0x0000

    assert step.run_once()
    assert standing(catalog, job_id) == (DeliveryState.DONE, None, 1)
    assert len(archive.received) == SLICES
    assert len(archive.asked) == 1
    assert archive.call_back(settings.node.port) == 0x0000, "said twice"


def test_two_that_are_not_kept_are_sent_again_alone_and_asked_for_anew(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    clock: Clock,
    job_id: int,
    listener: Listener,
    peer: Callable[..., CommittingPeer],
) -> None:
    archive = peer(settings, lacks=lambda number, uids: uids[1:3] if number == 1 else ())
    step.run_once()
    assert archive.call_back(settings.node.port) == 0x0000
    step.run_once()
    waiting = delivery(catalog, job_id)
    assert standing(catalog, job_id) == (DeliveryState.PENDING, "not_committed", 1)
    assert "does not keep 2 of" in waiting.reason.sentence
    assert "0x0112" in waiting.reason.sentence
    assert waiting.accepted_count == SLICES - 2
    assert not step.run_once(), "not due yet"
    clock.advance(10)
    step.run_once()
    lacking = archive.asked[0][1:3]
    assert archive.received[SLICES:] == lacking
    assert archive.asked[1] == lacking
    assert archive.requests[0].TransactionUID != archive.requests[1].TransactionUID
    assert archive.call_back(settings.node.port, 2) == 0x0000
    step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert catalog.get_job(job_id).state is JobState.DONE


def test_peer_that_never_answers_is_asked_anew_and_a_late_answer_counts(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    clock: Clock,
    job_id: int,
    listener: Listener,
    peer: Callable[..., CommittingPeer],
) -> None:
    archive = peer(settings)
    step.run_once()
    clock.advance(ANSWER_SECONDS - 1)
    assert not step.run_once()
    clock.advance(1)
    step.run_once()
    assert standing(catalog, job_id) == (DeliveryState.PENDING, "commitment_unanswered", 1)
    assert step.left_alone == frozenset(), "it can be reached"
    clock.advance(10)
    step.run_once()
    assert standing(catalog, job_id) == (DeliveryState.PENDING, "commitment_awaited", 1)
    assert archive.asked[0] == archive.asked[1]
    assert archive.call_back(settings.node.port, 1) == 0x0000
    step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert len(archive.received) == SLICES


def test_late_refusal_of_what_was_asked_for_anew_changes_nothing(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    clock: Clock,
    job_id: int,
    listener: Listener,
    peer: Callable[..., CommittingPeer],
) -> None:
    archive = peer(settings, lacks=lambda number, uids: uids if number == 1 else ())
    step.run_once()
    clock.advance(ANSWER_SECONDS)
    step.run_once()
    clock.advance(10)
    step.run_once()
    assert archive.call_back(settings.node.port, 1) == 0x0000
    assert delivery(catalog, job_id).accepted_count == SLICES
    assert archive.call_back(settings.node.port, 2) == 0x0000
    step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert len(archive.received) == SLICES


def test_patience_with_a_peer_that_never_answers_has_an_end(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    clock: Clock,
    job_id: int,
    peer: Callable[..., CommittingPeer],
) -> None:
    archive = peer(settings)
    for _ in range(3):
        step.run_once()
        clock.advance(ANSWER_SECONDS)
        step.run_once()
        clock.advance(3600)
    failed = delivery(catalog, job_id)
    assert (failed.state, failed.reason.code) == (DeliveryState.FAILED, "commitment_unanswered")
    assert "Given up after 3 attempts" in failed.reason.sentence
    assert len(archive.asked) == 3


def test_answer_that_leaves_images_out_is_none_for_them(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    clock: Clock,
    job_id: int,
    listener: Listener,
    peer: Callable[..., CommittingPeer],
) -> None:
    archive = peer(settings)
    step.run_once()
    report = archive.report()
    report.ReferencedSOPSequence = report.ReferencedSOPSequence[:1]
    assert archive.call_back(settings.node.port, report=report) == 0x0000
    step.run_once()
    assert standing(catalog, job_id) == (DeliveryState.PENDING, "commitment_incomplete", 1)
    clock.advance(10)
    step.run_once()
    assert archive.asked[1] == archive.asked[0][1:]
    assert len(archive.received) == SLICES


@pytest.mark.parametrize("answered", [True, False])
def test_kill_between_the_question_and_its_answer_loses_neither(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    clock: Clock,
    job_id: int,
    peer: Callable[..., CommittingPeer],
    monkeypatch: pytest.MonkeyPatch,
    answered: bool,
) -> None:
    archive = peer(settings)

    def die(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "await_commitment", die)
    with pytest.raises(KeyboardInterrupt):
        step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.SENDING
    catalog.close()

    with Catalog(settings.catalog_location, clock=clock) as reopened:
        listener = Listener(settings, reopened)
        listener.start()
        try:
            if answered:
                assert archive.call_back(settings.node.port, 1) == 0x0000
            assert run_out(reopened, clock) == 1
            after = DeliverStep(settings, reopened, clock=clock)
            assert after.run_once()
            if not answered:
                assert len(archive.asked) == 2
                assert archive.call_back(settings.node.port, 2) == 0x0000
                assert after.run_once()
        finally:
            listener.stop(grace_seconds=0.5)
        assert standing(reopened, job_id) == (DeliveryState.DONE, None, 1)
    assert len(archive.received) == SLICES


def test_peer_without_storage_commitment_is_named(
    settings: Settings, step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., CommittingPeer]
) -> None:
    archive = peer(settings, commits=False)
    step.run_once()
    failed = delivery(catalog, job_id)
    assert (failed.state, failed.reason.code, failed.accepted_count) == (DeliveryState.FAILED, "no_commitment", SLICES)
    assert "PACS does not offer storage commitment" in failed.reason.sentence
    with pytest.raises(DeliverError, match="does not take Storage Commitment Push Model"):
        check_destination("pacs", settings)
    assert len(archive.received) == SLICES


@pytest.mark.parametrize(("status", "state"), [(0x0124, DeliveryState.FAILED), (0x0213, DeliveryState.PENDING)])
def test_peer_that_refuses_the_request_is_asked_again_only_if_that_may_pass(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    job_id: int,
    peer: Callable[..., CommittingPeer],
    status: int,
    state: DeliveryState,
) -> None:
    peer(settings, status=status)
    step.run_once()
    assert standing(catalog, job_id) == (state, "commitment_refused", 1)
    assert f"0x{status:04X}" in delivery(catalog, job_id).reason.sentence


def test_kind_that_knows_no_commitment_cannot_be_told_to_ask_for_it() -> None:
    archive = {"type": "stow", "url": "http://127.0.0.1:8042/dicom-web", "verify": "commitment"}
    with pytest.raises(ConfigError, match="verify must be none or find"):
        parse_settings({"destinations": {"archive": archive}})


def test_refusal_for_good_is_quarantined(
    settings: Settings, step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., CommittingPeer]
) -> None:
    peer(settings, at_once=True, lacks=lambda number, uids: uids[:1], failure=0x0122)
    step.run_once()
    assert standing(catalog, job_id) == (DeliveryState.FAILED, "not_committed", 1)


def test_job_delivered_again_is_asked_about_again(
    settings: Settings, step: DeliverStep, catalog: Catalog, job_id: int, peer: Callable[..., CommittingPeer]
) -> None:
    archive = peer(settings, at_once=True)
    step.run_once()
    catalog.redeliver_job(job_id)
    step.run_once()
    assert delivery(catalog, job_id).state is DeliveryState.DONE
    assert archive.asked[0] == archive.asked[1]
    assert len(archive.received) == 2 * SLICES


def test_report_about_nothing_that_was_asked_is_refused(
    settings: Settings,
    step: DeliverStep,
    catalog: Catalog,
    job_id: int,
    listener: Listener,
    peer: Callable[..., CommittingPeer],
) -> None:
    archive = peer(settings)
    step.run_once()
    report = archive.report()
    report.TransactionUID = generate_uid()
    assert archive.call_back(settings.node.port, report=report) == 0x0112
    del report.TransactionUID
    assert archive.call_back(settings.node.port, report=report) == 0x0115
    assert not step.run_once()


def test_node_is_called_back_under_the_title_by_which_it_calls(
    settings: Settings, catalog: Catalog, peer: Callable[..., CommittingPeer]
) -> None:
    pacs = settings.destinations["pacs"].model_copy(update={"calling_ae_title": "CECT_OUT"})
    settings = settings.model_copy(update={"destinations": {"pacs": pacs}})
    archive = peer(settings)
    archive.requests.append(_empty_request())
    listener = Listener(settings, catalog)
    listener.start()
    try:
        assert archive.call_back(settings.node.port, called="CECT_OUT") == 0x0112
        assert archive.call_back(settings.node.port, called="CECT_IN") is None, "nobody's title"
    finally:
        listener.stop(grace_seconds=0.5)


def _empty_request() -> Any:
    from pydicom import Dataset

    request = Dataset()
    request.TransactionUID, request.ReferencedSOPSequence = generate_uid(), []
    return request
