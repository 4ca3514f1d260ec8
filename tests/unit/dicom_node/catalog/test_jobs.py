"""The catalog: jobs claimed, finished, failed, retried, and taken up after a restart."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, JobState, Outcome, Subject
from dicom_node.catalog.database import LEASE_SECONDS
from dicom_node.catalog.leases import MAX_INTERRUPTIONS
from dicom_node.catalog.retention import Expiry
from dicom_node.errors import CatalogError
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock, complete, due, gone, instance, job_in, run_out


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

    catalog.accept_job(catalog.get_job(job_id), details={}, set_aside=["1.2.3.1"])

    assert [row.sop_instance_uid for row in catalog.job_instances(job_id)] == ["1.2.3.0", "1.2.3.2"]
    assert len(catalog.job_instances(job_id, all_instances=True)) == 3


def test_refused_job_keeps_its_reason_and_its_details(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)

    catalog.refuse_job(catalog.get_job(job_id), Problem("gantry_tilt", "Tilted.", "Do not."), details={"slices": 3})

    job = catalog.get_job(job_id)
    assert job.state is JobState.REFUSED
    assert job.reason == Problem("gantry_tilt", "Tilted.", "Do not.")
    assert job.details == {"slices": 3}


def test_failed_translation_waits_in_the_queue_until_its_time(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)

    catalog.fail_job(catalog.get_job(job_id), Problem("worker_died", "Died."), retry_at=clock() + timedelta(seconds=30))

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
    catalog.fail_job(catalog.get_job(job_id), Problem("x", "Failed."))
    assert catalog.get_job(job_id).state is JobState.FAILED

    assert catalog.retry_job(job_id).state is goes_to


def test_retry_of_a_refused_job_selects_again(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)
    catalog.refuse_job(catalog.get_job(job_id), Problem("x", "No."))

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
    catalog.remove_sources(Expiry(done=clock()), gone)

    with pytest.raises(CatalogError) as raised:
        catalog.retry_job(job_id, again=True)

    assert raised.value.code == "source_removed"


def test_whose_a_series_was_is_forgotten_with_the_last_of_its_files(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DONE)
    (series,) = catalog.list_series()
    catalog.set_subject(series.key, Subject(patient_name="DOE^JANE"))

    catalog.remove_sources(Expiry(done=clock()), gone, limit=2)
    assert catalog.subjects_of([series.key])
    assert catalog.find_series(query="jane", by_patient=True)

    catalog.remove_sources(Expiry(done=clock()), gone)
    assert catalog.subjects_of([series.key]) == {}
    assert catalog.find_series(query="jane", by_patient=True) == []


def test_series_sent_again_after_retention_brings_its_files_back(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DONE)
    catalog.remove_sources(Expiry(done=clock()), gone)

    outcomes = catalog.add_instances([instance(number, path=Path(f"/new/{number}")) for number in range(3)])

    assert outcomes == [Outcome.NEW] * 3
    assert [row.path for row in catalog.job_instances(job_id)] == [Path(f"/new/{number}") for number in range(3)]
    assert complete(catalog, clock) is None


def test_cancelled_job_takes_its_deliveries_along(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)

    catalog.cancel_job(job_id)

    assert catalog.get_job(job_id).state is JobState.CANCELLED
    assert catalog.claim_delivery(clock()) is None


def test_what_a_killed_node_held_is_given_back(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)
    assert catalog.sweep_leases() == 0

    assert run_out(catalog, clock) == 1

    assert catalog.get_job(job_id).state is JobState.QUEUED


def test_associations_of_a_killed_node_are_lost_so_that_their_series_complete(catalog: Catalog, clock: Clock) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
    catalog.add_instance(instance(1, association_id="a"))
    clock.advance(300)

    run_out(catalog, clock)

    assert [signal for _, signal in due(catalog, clock)] == ["quiet"]
    assert catalog.open_associations() == []


def test_renewed_claim_is_not_given_back(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)
    claim = catalog.get_job(job_id)
    clock.advance(LEASE_SECONDS - 1)
    assert catalog.renew(claim)
    clock.advance(LEASE_SECONDS - 1)

    assert catalog.sweep_leases() == 0

    assert catalog.get_job(job_id).state is JobState.TRANSLATING


def test_what_a_step_records_after_it_lost_its_claim_does_not_count(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)
    lost = catalog.get_job(job_id)
    run_out(catalog, clock)
    held = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "another node")
    assert held is not None

    assert not catalog.renew(lost)
    assert not catalog.set_progress(lost, stage="late", fraction=0.5)
    assert not catalog.fail_job(lost, Problem("late", "Late."))
    assert not catalog.refuse_job(lost, Problem("late", "Late."))
    assert not catalog.finish_translation(lost, result_path=Path("/late"), details={})
    catalog.release(lost)

    assert catalog.get_job(job_id) == held
    assert catalog.finish_translation(held, result_path=Path("/r"), details={})


def test_job_that_is_selected_is_not_claimed_by_a_second_node(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.SELECTING)

    assert catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "one") is not None
    assert catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "two") is None


def test_released_claim_is_taken_at_once(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)

    catalog.release(catalog.get_job(job_id))

    again = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
    assert again is not None
    assert again.attempts == 0


def test_job_that_ends_the_node_again_and_again_fails(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)
    for _ in range(MAX_INTERRUPTIONS):
        assert catalog.get_job(job_id).state is JobState.SELECTING
        assert catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "select") is not None
        run_out(catalog, clock)

    job = catalog.get_job(job_id)
    assert job.state is JobState.FAILED
    assert job.reason is not None
    assert job.reason.code == "interrupted_repeatedly"
    assert catalog.retry_job(job_id).state is JobState.SELECTING


def test_job_that_only_waits_at_a_restart_counts_no_attempt(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)
    for _ in range(MAX_INTERRUPTIONS + 1):
        run_out(catalog, clock)

    assert catalog.get_job(job_id).state is JobState.SELECTING
