"""The catalog: received instances, complete series, and the jobs that follow."""

import threading
from multiprocessing import get_context
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, JobState, Outcome, SeriesState
from dicom_node.catalog.retention import Expiry
from s2ldm_core.problem import Problem
from tests.catalog_jobs import QUIET, Clock, complete, deliver, due, gone, instance, job_in


def test_first_copy_is_new_second_is_same_other_content_is_conflict(catalog: Catalog) -> None:
    outcomes = catalog.add_instances([instance(1), instance(1), instance(1, digest="other")])

    assert outcomes == [Outcome.NEW, Outcome.SAME, Outcome.CONFLICT]
    (series,) = catalog.list_series()
    assert (series.instance_count, series.conflict_count) == (1, 1)


def test_outcomes_hold_across_transactions(catalog: Catalog) -> None:
    catalog.add_instance(instance(1))

    assert catalog.add_instance(instance(1)) is Outcome.SAME
    assert catalog.add_instance(instance(1, digest="other")) is Outcome.CONFLICT


def test_series_with_a_uid_that_is_not_ascii_completes(catalog: Catalog, clock: Clock) -> None:
    catalog.add_instance(instance(1, sop_instance_uid="1.2.\ufffd"))

    assert complete(catalog, clock) is not None


def test_same_series_on_two_routes_is_two_series(catalog: Catalog) -> None:
    outcomes = catalog.add_instances([instance(1, route="CECT_ART"), instance(1, route="CECT_VEN")])

    assert outcomes == [Outcome.NEW, Outcome.NEW]
    assert {series.route for series in catalog.list_series()} == {"CECT_ART", "CECT_VEN"}


def test_large_batch_of_several_series_is_recorded(catalog: Catalog) -> None:
    batch = [instance(number, series=f"1.2.{number % 3}") for number in range(1500)]

    assert catalog.add_instances(batch) == [Outcome.NEW] * 1500
    assert catalog.add_instances(batch) == [Outcome.SAME] * 1500


def test_writers_in_several_processes_lose_nothing(location: Path | str) -> None:
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


def test_series_is_not_due_before_the_quiet_time(catalog: Catalog, clock: Clock) -> None:
    catalog.add_instance(instance(1))
    clock.advance(QUIET - 1)

    assert due(catalog, clock) == []


def test_series_is_not_due_while_its_association_is_open(catalog: Catalog, clock: Clock) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
    catalog.add_instance(instance(1, association_id="a"))
    clock.advance(QUIET)
    assert due(catalog, clock) == []

    catalog.close_association("a", outcome="released")

    assert [signal for _, signal in due(catalog, clock)] == ["released"]


def test_series_is_due_when_an_open_association_is_silent_for_long(catalog: Catalog, clock: Clock) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
    catalog.add_instance(instance(1, association_id="a"))
    clock.advance(300)

    found = due(catalog, clock)

    assert [signal for _, signal in found] == ["quiet"]


@pytest.mark.parametrize("outcome", ["aborted", "lost"])
def test_an_association_that_broke_off_is_no_sign_of_completeness(catalog: Catalog, clock: Clock, outcome: str) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
    catalog.add_instance(instance(1, association_id="a"))
    catalog.close_association("a", outcome=outcome)
    clock.advance(QUIET)
    assert due(catalog, clock) == []

    clock.advance(300 - QUIET)

    assert [signal for _, signal in due(catalog, clock)] == ["quiet"]


def test_the_rest_sent_after_an_abort_completes_the_series(catalog: Catalog, clock: Clock) -> None:
    for name, number, outcome in (("a", 1, "aborted"), ("b", 2, "released")):
        catalog.open_association(name, called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
        catalog.add_instance(instance(number, association_id=name))
        catalog.close_association(name, outcome=outcome)
        clock.advance(1)
    clock.advance(QUIET)

    assert [signal for _, signal in due(catalog, clock)] == ["released"]


def test_an_association_that_sends_other_series_does_not_hold_this_one(catalog: Catalog, clock: Clock) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
    catalog.add_instances([instance(1), instance(1, series="9.9", association_id="a")])
    clock.advance(QUIET)

    assert [series.series_instance_uid for series, _ in due(catalog, clock)] == ["1.2.3"]


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
    ((series, signal),) = due(catalog, clock)
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


def test_same_series_sent_again_is_noted_with_its_job(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DONE)
    for _ in range(2):
        catalog.add_instances([instance(number) for number in range(3)])
        complete(catalog, clock)

    job = catalog.get_job(job_id)
    assert (job.state, job.details["sent_again"]) == (JobState.DONE, 2)


def test_same_series_sent_again_is_delivered_again_where_the_route_says_so(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DONE)
    catalog.add_instances([instance(number) for number in range(3)])

    assert complete(catalog, clock, resend="redeliver") is None

    assert catalog.get_job(job_id).state is JobState.DELIVERING
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    assert (delivery.accepted_count, delivery.instance_count) == (0, 3)
    catalog.release(delivery)
    assert deliver(catalog, clock)
    assert catalog.get_job(job_id).state is JobState.DONE


def test_redelivery_of_what_retention_has_removed_makes_it_anew(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DONE)
    catalog.remove_derived(Expiry(done=clock()), gone)
    catalog.add_instances([instance(number) for number in range(3)])

    complete(catalog, clock, resend="redeliver")

    assert catalog.get_job(job_id).state is JobState.SELECTING


def test_job_that_is_under_way_is_not_disturbed_by_its_series_sent_again(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)
    claim = catalog.get_job(job_id)
    catalog.add_instances([instance(number) for number in range(3)])

    complete(catalog, clock, resend="redeliver")

    assert catalog.get_job(job_id).state is JobState.TRANSLATING
    assert catalog.finish_translation(claim, result_path=Path("/r"), details={"steps": 1})
    assert catalog.get_job(job_id).details == {"slices": 3, "sent_again": 1, "steps": 1}


@pytest.mark.parametrize("late", ["rerun", "ignore"])
def test_same_series_sent_again_after_a_change_of_phase_makes_a_job_of_that_phase(
    catalog: Catalog, clock: Clock, late: str
) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    jobs = []
    for phase in ("venous", "venous", "arterial"):
        catalog.add_instances([instance(number) for number in range(3)])
        jobs.append(complete(catalog, clock, phase=phase, late=late))

    assert jobs[0] is not None
    assert jobs[1:] == [None, None], "each phase has its job by then"
    assert {job.id: (job.phase, job.details.get("sent_again")) for job in catalog.list_jobs()} == {
        first: ("arterial", 1),
        jobs[0]: ("venous", 1),
    }


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
    claim = catalog.get_job(first)
    catalog.add_instance(instance(3))

    complete(catalog, clock)

    overtaken = catalog.get_job(first)
    assert overtaken.state is JobState.CANCELLED
    assert overtaken.reason is not None
    assert overtaken.reason.code == "superseded"
    assert not catalog.finish_translation(claim, result_path=Path("/r"), details={})


def test_late_instances_are_ignored_where_the_route_says_so(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DONE)
    catalog.add_instance(instance(3))

    assert complete(catalog, clock, late="ignore") is None
    reason = catalog.list_series()[0].reason
    assert reason is not None
    assert reason.code == "late_instances_ignored"


def conflict_count(catalog: Catalog) -> int:
    return catalog.list_series()[0].conflict_count


def refuse_for_conflicts(catalog: Catalog, job_id: int) -> None:
    reason = Problem("conflicting_instances", "One image came under the UID of another.")
    claim = catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "select")
    assert claim is not None
    assert claim.id == job_id
    assert catalog.refuse_job(claim, reason)


def test_a_series_sent_again_without_the_other_image_is_examined_anew(catalog: Catalog, clock: Clock) -> None:
    catalog.add_instances([instance(number) for number in range(3)])
    catalog.add_instance(instance(1, digest="other"))
    job_id = complete(catalog, clock)
    assert job_id is not None
    refuse_for_conflicts(catalog, job_id)

    catalog.add_instances([instance(number) for number in range(3)])
    assert complete(catalog, clock) is None

    assert conflict_count(catalog) == 0
    assert catalog.get_job(job_id).state is JobState.SELECTING


@pytest.mark.parametrize("again", [("d", "other"), ("other", "d")], ids=["held first", "held last"])
def test_both_images_sent_again_are_still_a_conflict(catalog: Catalog, clock: Clock, again: tuple[str, str]) -> None:
    catalog.add_instances([instance(0), instance(1), instance(1, digest="other")])
    job_id = complete(catalog, clock)
    assert job_id is not None
    refuse_for_conflicts(catalog, job_id)

    for digest in again:
        catalog.add_instances([instance(1, digest=digest), instance(0)])
    complete(catalog, clock)

    assert conflict_count(catalog) == 1
    assert catalog.get_job(job_id).state is JobState.REFUSED


def test_slices_that_come_late_settle_no_conflict(catalog: Catalog, clock: Clock) -> None:
    catalog.add_instances([instance(0), instance(1), instance(1, digest="other")])
    complete(catalog, clock)

    catalog.add_instances([instance(0), instance(2)])
    complete(catalog, clock)

    assert conflict_count(catalog) == 1


def test_every_other_image_is_counted_once_however_often_it_comes(catalog: Catalog, clock: Clock) -> None:
    others = [instance(0, digest="b"), instance(0, digest="c"), instance(0, digest="b")]
    catalog.add_instances([instance(0), instance(1), *others])
    complete(catalog, clock)
    catalog.add_instances(others)
    complete(catalog, clock)

    assert conflict_count(catalog) == 2


def test_of_two_other_images_one_left_out_leaves_one(catalog: Catalog, clock: Clock) -> None:
    catalog.add_instances([instance(0), instance(1), instance(0, digest="b"), instance(0, digest="c")])
    complete(catalog, clock)

    catalog.add_instances([instance(0, digest="c"), instance(0), instance(1)])
    complete(catalog, clock)

    assert conflict_count(catalog) == 1
