"""The catalog: jobs claimed, finished, failed, retried, and taken up after a restart."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, JobState, Outcome, Reason
from dicom_node.catalog.job_control import MAX_INTERRUPTIONS
from dicom_node.errors import CatalogError
from tests.catalog_jobs import QUIET, Clock, complete, instance, job_in


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(tmp_path: Path, clock: Clock) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite", clock=clock) as catalog:
        yield catalog


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


def test_worker_that_met_a_fault_gives_its_jobs_back(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)

    assert catalog.requeue_worker("another") == 0
    assert catalog.requeue_worker("w") == 1

    assert catalog.get_job(job_id).state is JobState.QUEUED


def test_job_that_ends_the_node_again_and_again_fails(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)
    for _ in range(MAX_INTERRUPTIONS):
        assert catalog.get_job(job_id).state is JobState.SELECTING
        assert catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "select") is not None
        catalog.requeue_interrupted()

    job = catalog.get_job(job_id)
    assert job.state is JobState.FAILED
    assert job.reason is not None
    assert job.reason.code == "interrupted_repeatedly"
    assert catalog.retry_job(job_id).state is JobState.SELECTING


def test_job_that_only_waits_at_a_restart_counts_no_attempt(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)
    for _ in range(MAX_INTERRUPTIONS + 1):
        catalog.requeue_interrupted()

    assert catalog.get_job(job_id).state is JobState.SELECTING
