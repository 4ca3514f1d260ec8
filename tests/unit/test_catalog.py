"""The catalog: what is recorded, what follows from it, and what a restart finds."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from dicom_node.catalog import (
    Catalog,
    DeliveryState,
    DerivedInstance,
    JobState,
    NewInstance,
    Outcome,
    Reason,
    SeriesState,
)
from dicom_node.catalog.quarantine import MAX_REJECTED_PEERS
from dicom_node.errors import CatalogError

QUIET = 20.0


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(tmp_path: Path, clock: Clock) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite", clock=clock) as catalog:
        yield catalog


def instance(
    number: int, *, digest: str = "d", series: str = "1.2.3", route: str = "CECT_ART", **more: object
) -> NewInstance:
    values: dict[str, object] = {
        "series_instance_uid": series,
        "study_instance_uid": "1.2",
        "sop_instance_uid": f"{series}.{number}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "path": Path(f"/spool/{number}.dcm"),
        "digest": f"{digest}{number}",
        "size": 100,
        "route": route,
        "calling_ae": "PACS",
        "peer": "127.0.0.1",
    }
    return NewInstance(**(values | more))  # type: ignore[arg-type]


def complete(catalog: Catalog, clock: Clock, *, model_identity: str = "demo 1", late: str = "rerun") -> int | None:
    """Let quiet time pass and complete the one series that is due; the new job or None."""
    clock.advance(QUIET)
    ((series, signal),) = catalog.series_due(clock(), QUIET)
    return catalog.complete_series(
        series.key,
        signal=signal,
        phase="arterial",
        model="demo",
        model_identity=model_identity,
        late=late,
        seen_at=series.last_received_at,
    )


def job_in(catalog: Catalog, clock: Clock, state: JobState) -> int:
    """A job of three instances, brought to a state."""
    catalog.add_instances([instance(number) for number in range(3)])
    job_id = complete(catalog, clock)
    assert job_id is not None
    way: list[tuple[JobState, Callable[[], object]]] = [
        (JobState.SELECTING, lambda: catalog.accept_job(job_id, details={"slices": 3})),
        (JobState.QUEUED, lambda: catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")),
        (JobState.TRANSLATING, lambda: catalog.finish_translation(job_id, result_path=Path("/r"), details={})),
        (JobState.TRANSLATED, lambda: catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "w")),
        (JobState.DERIVING, lambda: derive(catalog, job_id)),
        (JobState.DELIVERING, lambda: deliver(catalog, clock)),
    ]
    for reached, step in way:
        if reached is state:
            break
        assert step()
    assert catalog.get_job(job_id).state is state
    return job_id


def derive(catalog: Catalog, job_id: int, destinations: tuple[str, ...] = ("pacs",)) -> bool:
    derived = [
        DerivedInstance(sop_instance_uid=f"2.25.{number}", sop_class_uid="1", path=Path(f"/d/{number}"))
        for number in range(3)
    ]
    return catalog.finish_derivation(job_id, series_instance_uid="2.25.9", instances=derived, destinations=destinations)


def deliver(catalog: Catalog, clock: Clock) -> bool:
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    for one in catalog.delivery_instances(delivery.id):
        catalog.set_instance_status(delivery.id, one.sop_instance_uid, 0x0000)
    return catalog.finish_delivery(delivery.id)


# Intake


def test_first_copy_is_new_second_is_same_other_content_is_conflict(catalog: Catalog) -> None:
    outcomes = catalog.add_instances([instance(1), instance(1), instance(1, digest="other")])

    assert outcomes == [Outcome.NEW, Outcome.SAME, Outcome.CONFLICT]
    (series,) = catalog.list_series()
    assert (series.instance_count, series.conflict_count) == (1, 1)


def test_outcomes_hold_across_transactions(catalog: Catalog) -> None:
    catalog.add_instance(instance(1))

    assert catalog.add_instance(instance(1)) is Outcome.SAME
    assert catalog.add_instance(instance(1, digest="other")) is Outcome.CONFLICT


def test_same_series_on_two_routes_is_two_series(catalog: Catalog) -> None:
    outcomes = catalog.add_instances([instance(1, route="CECT_ART"), instance(1, route="CECT_VEN")])

    assert outcomes == [Outcome.NEW, Outcome.NEW]
    assert {series.route for series in catalog.list_series()} == {"CECT_ART", "CECT_VEN"}


def test_large_batch_of_several_series_is_recorded(catalog: Catalog) -> None:
    batch = [instance(number, series=f"1.2.{number % 3}") for number in range(1500)]

    assert catalog.add_instances(batch) == [Outcome.NEW] * 1500
    assert catalog.add_instances(batch) == [Outcome.SAME] * 1500


def test_writers_in_several_processes_lose_nothing(tmp_path: Path) -> None:
    location = tmp_path / "catalog.sqlite"
    Catalog(location).close()
    context = get_context("spawn")
    writers = [context.Process(target=_write_fifty, args=(location, start)) for start in (0, 50)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    assert [writer.exitcode for writer in writers] == [0, 0]
    with Catalog(location) as catalog:
        assert catalog.list_series()[0].instance_count == 100


def _write_fifty(location: Path, start: int) -> None:
    with Catalog(location) as catalog:
        for number in range(start, start + 50):
            assert catalog.add_instance(instance(number)) is Outcome.NEW


def test_writers_in_several_threads_lose_nothing(catalog: Catalog) -> None:
    outcomes: list[Outcome] = []

    def write(start: int) -> None:
        for number in range(start, start + 25):
            outcomes.append(catalog.add_instance(instance(number)))

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 25, 50, 75)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == [Outcome.NEW] * 100


# Completion


def test_series_is_not_due_before_the_quiet_time(catalog: Catalog, clock: Clock) -> None:
    catalog.add_instance(instance(1))
    clock.advance(QUIET - 1)

    assert catalog.series_due(clock(), QUIET) == []


def test_series_is_not_due_while_its_association_is_open(catalog: Catalog, clock: Clock) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
    catalog.add_instance(instance(1, association_id="a"))
    clock.advance(QUIET)
    assert catalog.series_due(clock(), QUIET) == []

    catalog.close_association("a", outcome="released")

    assert [signal for _, signal in catalog.series_due(clock(), QUIET)] == ["released"]


def test_series_is_due_when_an_open_association_is_silent_for_long(catalog: Catalog, clock: Clock) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
    catalog.add_instance(instance(1, association_id="a"))
    clock.advance(300)

    due = catalog.series_due(clock(), QUIET, open_association_seconds=300)

    assert [signal for _, signal in due] == ["quiet"]


def test_an_association_that_sends_other_series_does_not_hold_this_one(catalog: Catalog, clock: Clock) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
    catalog.add_instances([instance(1), instance(1, series="9.9", association_id="a")])
    clock.advance(QUIET)

    assert [series.series_instance_uid for series, _ in catalog.series_due(clock(), QUIET)] == ["1.2.3"]


def test_completion_makes_a_job_of_all_instances_and_records_the_signal(catalog: Catalog, clock: Clock) -> None:
    catalog.add_instances([instance(number) for number in range(3)])

    job_id = complete(catalog, clock)

    assert job_id is not None
    job = catalog.get_job(job_id)
    assert (job.state, job.instance_count, job.completion_signal) == (JobState.SELECTING, 3, "released")
    assert len(catalog.job_instances(job_id)) == 3
    assert catalog.list_series()[0].state is SeriesState.COMPLETE


def test_completion_decided_before_another_instance_came_does_nothing(catalog: Catalog, clock: Clock) -> None:
    catalog.add_instance(instance(1))
    clock.advance(QUIET)
    ((series, signal),) = catalog.series_due(clock(), QUIET)
    catalog.add_instance(instance(2))

    job_id = catalog.complete_series(
        series.key, signal=signal, phase="arterial", model="demo", seen_at=series.last_received_at
    )

    assert job_id is None
    assert catalog.list_series()[0].state is SeriesState.RECEIVING


def test_same_series_sent_again_makes_no_second_job(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DONE)
    catalog.add_instances([instance(number) for number in range(3)])

    assert complete(catalog, clock) is None
    assert len(catalog.list_jobs()) == 1


def test_same_series_sent_again_after_a_change_of_weights_makes_a_second_job(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    catalog.add_instances([instance(number) for number in range(3)])

    second = complete(catalog, clock, model_identity="demo 2", late="ignore")

    assert second not in (None, first)


def test_late_instances_make_a_new_job_of_the_whole_series(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    catalog.add_instance(instance(3))

    second = complete(catalog, clock)

    assert second is not None
    assert second != first
    assert catalog.get_job(second).instance_count == 4
    assert catalog.get_job(first).state is JobState.DONE


def test_late_instances_overtake_a_job_that_is_still_in_the_node(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.TRANSLATING)
    catalog.add_instance(instance(3))

    complete(catalog, clock)

    overtaken = catalog.get_job(first)
    assert overtaken.state is JobState.CANCELLED
    assert overtaken.reason is not None
    assert overtaken.reason.code == "superseded"
    assert not catalog.finish_translation(first, result_path=Path("/r"), details={})


def test_late_instances_are_ignored_where_the_route_says_so(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DONE)
    catalog.add_instance(instance(3))

    assert complete(catalog, clock, late="ignore") is None
    reason = catalog.list_series()[0].reason
    assert reason is not None
    assert reason.code == "late_instances_ignored"


# Jobs


def test_only_one_of_many_claims_gets_the_job(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.QUEUED)
    got: list[object] = []

    def claim() -> None:
        got.append(catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w"))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(job is not None for job in got) == 1


def test_set_aside_objects_are_no_slices_of_the_job(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)

    catalog.accept_job(job_id, details={}, set_aside=["1.2.3.1"])

    assert [row.sop_instance_uid for row in catalog.job_instances(job_id)] == ["1.2.3.0", "1.2.3.2"]
    assert len(catalog.job_instances(job_id, all_instances=True)) == 3


def test_refused_job_keeps_its_reason_in_lower_case_and_its_details(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)

    catalog.refuse_job(job_id, code="GANTRY_TILT", sentence="Tilted.", remedy="Do not.", details={"slices": 3})

    job = catalog.get_job(job_id)
    assert job.state is JobState.REFUSED
    assert job.reason == Reason(code="gantry_tilt", sentence="Tilted.", remedy="Do not.")
    assert job.details == {"slices": 3}


def test_failed_translation_waits_in_the_queue_until_its_time(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)

    catalog.fail_job(job_id, code="worker_died", sentence="Died.", retry_at=clock() + timedelta(seconds=30))

    assert catalog.get_job(job_id).state is JobState.QUEUED
    assert catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w") is None
    clock.advance(30)
    again = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
    assert again is not None
    assert again.attempts == 1


@pytest.mark.parametrize(
    ("failed_in", "goes_to"),
    [
        (JobState.SELECTING, JobState.SELECTING),
        (JobState.TRANSLATING, JobState.QUEUED),
        (JobState.DERIVING, JobState.QUEUED),  # the translation's result is not on disk
    ],
)
def test_retry_goes_back_to_where_the_job_failed(
    catalog: Catalog, clock: Clock, failed_in: JobState, goes_to: JobState
) -> None:
    job_id = job_in(catalog, clock, failed_in)
    catalog.fail_job(job_id, code="x", sentence="Failed.")
    assert catalog.get_job(job_id).state is JobState.FAILED

    assert catalog.retry_job(job_id).state is goes_to


def test_retry_of_a_refused_job_selects_again(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)
    catalog.refuse_job(job_id, code="x", sentence="No.")

    job = catalog.retry_job(job_id)

    assert job.state is JobState.SELECTING
    assert job.reason is None


def test_retry_of_a_done_job_needs_to_be_asked_for(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DONE)

    with pytest.raises(CatalogError, match="is done"):
        catalog.retry_job(job_id)

    assert catalog.retry_job(job_id, again=True).state is JobState.SELECTING


def test_retry_without_the_source_files_says_so(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DONE)
    expired = catalog.expired_sources(done_before=clock(), refused_before=None)
    catalog.forget_sources([key for key, _ in expired])

    with pytest.raises(CatalogError) as raised:
        catalog.retry_job(job_id, again=True)

    assert raised.value.code == "source_removed"


def test_series_sent_again_after_retention_brings_its_files_back(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DONE)
    catalog.forget_sources([key for key, _ in catalog.expired_sources(done_before=clock(), refused_before=None)])

    outcomes = catalog.add_instances([instance(number, path=Path(f"/new/{number}")) for number in range(3)])

    assert outcomes == [Outcome.NEW] * 3
    assert [row.path for row in catalog.job_instances(job_id)] == [Path(f"/new/{number}") for number in range(3)]
    assert complete(catalog, clock) is None


def test_cancelled_job_takes_its_deliveries_along(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)

    catalog.cancel_job(job_id)

    assert catalog.get_job(job_id).state is JobState.CANCELLED
    assert catalog.claim_delivery(clock()) is None


def test_restart_requeues_what_was_interrupted(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)

    assert catalog.requeue_interrupted() == 1

    assert catalog.get_job(job_id).state is JobState.QUEUED


def test_restart_closes_lost_associations_so_that_their_series_complete(catalog: Catalog, clock: Clock) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
    catalog.add_instance(instance(1, association_id="a"))
    clock.advance(QUIET)

    catalog.requeue_interrupted()

    assert len(catalog.series_due(clock(), QUIET)) == 1


# Deliveries


def test_delivery_is_done_only_when_every_instance_is_accepted(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    catalog.set_instance_status(delivery.id, "2.25.0", 0x0000)
    catalog.set_instance_status(delivery.id, "2.25.1", 0xB000)
    catalog.set_instance_status(delivery.id, "2.25.2", 0xA700)

    with pytest.raises(CatalogError, match="1 of 3 instances"):
        catalog.finish_delivery(delivery.id)

    catalog.set_instance_status(delivery.id, "2.25.2", 0x0000)
    catalog.finish_delivery(delivery.id)
    assert catalog.get_job(job_id).state is JobState.DONE


def test_delivery_waits_until_its_time(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    reason = Reason(code="no_connection", sentence="Not reached.")

    catalog.retry_delivery(delivery.id, at=clock() + timedelta(seconds=10), reason=reason)

    assert catalog.claim_delivery(clock()) is None
    clock.advance(10)
    again = catalog.claim_delivery(clock())
    assert again is not None
    assert (again.attempts, again.reason) == (1, reason)


def test_delivery_to_an_excluded_destination_is_not_claimed(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)

    assert catalog.claim_delivery(clock(), exclude_destinations={"pacs"}) is None


def test_job_is_done_when_all_its_deliveries_are(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DERIVING)
    derive(catalog, job_id, destinations=("one", "two"))

    deliver(catalog, clock)
    assert catalog.get_job(job_id).state is JobState.DELIVERING
    deliver(catalog, clock)

    assert catalog.get_job(job_id).state is JobState.DONE


def test_job_without_destinations_is_done_at_once(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DERIVING)

    derive(catalog, job_id, destinations=())

    assert catalog.get_job(job_id).state is JobState.DONE


def test_failed_delivery_fails_the_job_and_retry_resumes_at_what_is_missing(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    catalog.set_instance_status(delivery.id, "2.25.0", 0x0000)
    catalog.finish_delivery(
        delivery.id, state=DeliveryState.FAILED, reason=Reason(code="refused", sentence="The PACS said no.")
    )
    job = catalog.get_job(job_id)
    assert job.state is JobState.FAILED
    assert job.reason is not None
    assert "The PACS said no." in job.reason.sentence

    assert catalog.retry_job(job_id).state is JobState.DELIVERING

    again = catalog.claim_delivery(clock())
    assert again is not None
    assert [one.accepted for one in catalog.delivery_instances(again.id)] == [True, False, False]


# Quarantine and peers


def test_unreadable_objects_of_one_association_show_as_one_refused_job(catalog: Catalog) -> None:
    reason = Reason(code="not_dicom", sentence="Not DICOM.", remedy="Look at the sender.")
    for number in range(3):
        catalog.quarantine_object(
            route="CECT_ART",
            calling_ae="PACS",
            peer="127.0.0.1",
            association_id="a",
            sop_instance_uid=f"1.{number}",
            path=Path(f"/q/{number}"),
            size=1,
            reason=reason,
        )

    (job,) = catalog.list_jobs()
    assert (job.state, job.instance_count, job.reason) == (JobState.REFUSED, 3, reason)
    assert len(catalog.list_quarantine()) == 3


def test_conflicting_object_is_listed_with_its_series(catalog: Catalog) -> None:
    catalog.add_instance(instance(1))

    catalog.quarantine_object(
        route="CECT_ART",
        calling_ae="PACS",
        peer="127.0.0.1",
        association_id=None,
        sop_instance_uid="1.2.3.1",
        path=None,
        size=1,
        reason=Reason(code="conflict", sentence="Other content."),
        series_instance_uid="1.2.3",
    )

    assert catalog.list_quarantine()[0].series_key == catalog.list_series()[0].key
    assert catalog.list_jobs() == []


def test_rejected_peers_are_counted_and_bounded(catalog: Catalog, clock: Clock) -> None:
    reason = Reason(code="unknown_called_ae", sentence="No such route.")
    for number in range(MAX_REJECTED_PEERS + 5):
        clock.advance(1)
        catalog.note_rejected_peer(calling_ae=f"P{number}", called_ae="X", peer="h", reason=reason)
    catalog.note_rejected_peer(calling_ae=f"P{MAX_REJECTED_PEERS + 4}", called_ae="X", peer="h", reason=reason)

    peers = catalog.rejected_peers()
    assert len(peers) == MAX_REJECTED_PEERS
    assert peers[0].count == 2


# Retention


def test_files_of_a_series_with_an_unfinished_job_do_not_expire(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)
    clock.advance(1e6)

    assert catalog.expired_sources(done_before=clock(), refused_before=clock()) == []


def test_files_expire_by_how_their_job_ended(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)
    catalog.refuse_job(job_id, code="x", sentence="No.")

    assert catalog.expired_sources(done_before=clock(), refused_before=None) == []
    assert len(catalog.expired_sources(done_before=None, refused_before=clock())) == 3


# The database itself


def test_commit_is_flushed_and_readers_do_not_block(catalog: Catalog, tmp_path: Path) -> None:
    with catalog.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert catalog.list_jobs() == []


def test_catalog_of_a_newer_node_is_refused(tmp_path: Path) -> None:
    location = tmp_path / "catalog.sqlite"
    Catalog(location).close()
    with sqlite3.connect(location) as raw:
        raw.execute("INSERT INTO schema_version VALUES (99, '2026-01-01 00:00:00')")

    with pytest.raises(CatalogError) as raised:
        Catalog(location)

    assert raised.value.code == "catalog_version"


def test_file_that_is_no_database_is_an_error_with_a_reason(tmp_path: Path) -> None:
    location = tmp_path / "catalog.sqlite"
    location.write_bytes(b"this is not a database, however long the text may be" * 10)

    with pytest.raises(CatalogError) as raised:
        Catalog(location)

    assert raised.value.code == "catalog_unusable"


def test_unknown_job_is_an_error_with_a_reason(catalog: Catalog) -> None:
    with pytest.raises(CatalogError) as raised:
        catalog.get_job(99)

    assert raised.value.code == "job_unknown"
