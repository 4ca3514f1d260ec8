"""Which job stands for a series when more of it comes, and what is still owed to destinations that hold the earlier one.

Not covered here: the notes themselves (``derive/test_rejection.py``) and sending them (``tests/fault/test_rerun.py``).
"""

from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, DeliveryState, DerivedInstance, ImageReference, JobState, Verdict
from dicom_node.catalog.retention import Expiry
from dicom_node.errors import CatalogError
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock, answer, complete, deliver, instance, job_in

LATE_DESTINATIONS = ("pacs", "archive")


def derive_again(
    catalog: Catalog,
    job_id: int,
    *,
    rejects: tuple[int, ...] = (),
    destinations: tuple[str, ...] = ("pacs",),
    reachable: tuple[str, ...] = (),
) -> None:
    """Bring a job of late instances to its derived series of four images, with a note for each of ``rejects``."""
    assert catalog.accept_job(catalog.get_job(job_id), details={})
    translating = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
    assert translating is not None
    assert catalog.finish_translation(translating, result_path=Path("/r"), details={})
    deriving = catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "w")
    assert deriving is not None
    made = [
        DerivedInstance(
            sop_instance_uid=f"2.25.{job_id}.{number}",
            sop_class_uid="1",
            series_instance_uid=f"2.25.{job_id}",
            path=Path(f"/n/{number}"),
        )
        for number in range(4)
    ] + [
        DerivedInstance(
            sop_instance_uid=f"2.25.{job_id}.9.{job}",
            sop_class_uid="ko",
            series_instance_uid=f"2.25.{job_id}.9",
            path=Path("/n/ko"),
            rejects_job=job,
        )
        for job in rejects
    ]
    assert catalog.finish_derivation(
        deriving,
        series_instance_uid=f"2.25.{job_id}",
        instances=made,
        destinations=destinations,
        reachable=reachable,
    )


def late(catalog: Catalog, clock: Clock, number: int = 3) -> int:
    catalog.add_instance(instance(number))
    job_id = complete(catalog, clock)
    assert job_id is not None
    return job_id


def sent_to(catalog: Catalog, job_id: int) -> dict[str, list[str]]:
    return {
        one.destination: [item.sop_instance_uid for item in catalog.delivery_instances(one.id)]
        for one in catalog.list_deliveries(job_id=job_id)
    }


def test_both_jobs_say_which_stands_for_the_series(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    second = late(catalog, clock)
    assert catalog.get_job(first).superseded_by is None, "the second has no derived series yet"

    derive_again(catalog, second)

    assert (catalog.get_job(first).superseded_by, catalog.get_job(second).supersedes) == (second, (first,))
    listed = {job.id: job for job in catalog.list_jobs()}
    assert (listed[first].superseded_by, listed[second].supersedes) == (second, (first,))
    assert catalog.get_job(first).state is JobState.DONE


def test_a_series_of_another_phase_stands_beside_the_first(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    catalog.add_instance(instance(3))
    second = complete(catalog, clock, phase="venous")
    assert second is not None
    assert catalog.earlier_series(second) == []

    derive_again(catalog, second)

    assert (catalog.get_job(first).superseded_by, catalog.get_job(second).supersedes) == (None, ())


def test_a_job_under_way_is_not_overtaken_by_one_of_another_phase(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DELIVERING)
    catalog.add_instances([instance(number) for number in range(3)])

    assert complete(catalog, clock, phase="venous") is not None

    assert catalog.get_job(first).state is JobState.DELIVERING
    assert deliver(catalog, clock)


def test_a_job_that_is_refused_supersedes_nothing(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    catalog.refuse_job(catalog.get_job(late(catalog, clock)), Problem("mixed_patients", "Two patients."))

    assert catalog.get_job(first).superseded_by is None


def test_what_is_pending_of_an_overtaken_job_is_not_sent_any_more(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DELIVERING)
    second = late(catalog, clock)

    overtaken = catalog.get_job(first)
    assert (overtaken.state, overtaken.superseded_by) == (JobState.CANCELLED, second)
    assert overtaken.reason is not None
    assert overtaken.reason.code == "superseded"
    assert [one.state for one in catalog.list_deliveries(job_id=first)] == [DeliveryState.CANCELLED]
    assert catalog.claim_delivery(clock()) is None


def test_a_sender_of_an_overtaken_job_learns_of_it_with_its_next_answer(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)
    sending = catalog.claim_delivery(clock())
    assert sending is not None
    late(catalog, clock)

    uid = catalog.delivery_instances(sending.id)[0].sop_instance_uid
    assert not answer(catalog, sending, uid, Verdict.ACCEPTED, status=0)
    assert catalog.delivery_instances(sending.id)[0].accepted, "what the peer holds is remembered"


def test_the_earlier_series_is_told_with_its_images_and_who_holds_it(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    second = late(catalog, clock)

    (earlier,) = catalog.earlier_series(second)

    assert (earlier.job_id, earlier.series_instance_uid, earlier.destinations) == (first, "2.25.9", ("pacs",))
    assert earlier.images == tuple(
        ImageReference(series_instance_uid="2.25.9", sop_instance_uid=f"2.25.{number}", sop_class_uid="1")
        for number in range(3)
    )


def test_nothing_is_owed_where_nothing_was_taken(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)
    assert catalog.earlier_series(late(catalog, clock)) == []


def test_a_note_goes_only_to_the_destination_that_holds_the_earlier_series(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    second = late(catalog, clock)

    derive_again(catalog, second, rejects=(first,), destinations=LATE_DESTINATIONS)

    images = [f"2.25.{second}.{number}" for number in range(4)]
    assert sent_to(catalog, second) == {"pacs": [*images, f"2.25.{second}.9.{first}"], "archive": images}
    counts = {one.destination: (one.instance_count, one.note_count) for one in catalog.list_deliveries(job_id=second)}
    assert counts == {"pacs": (4, 1), "archive": (4, 0)}


@pytest.mark.parametrize("reachable", [(), ("pacs",)])
def test_a_destination_that_the_route_has_left_gets_the_note_alone_while_it_is_configured(
    catalog: Catalog, clock: Clock, reachable: tuple[str, ...]
) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    second = late(catalog, clock)

    derive_again(catalog, second, rejects=(first,), destinations=("archive",), reachable=reachable)

    sent = sent_to(catalog, second)
    assert set(sent) == {"archive", *reachable}
    assert sent.get("pacs", [f"2.25.{second}.9.{first}"]) == [f"2.25.{second}.9.{first}"]


def test_what_was_rejected_once_is_not_rejected_again(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    second = late(catalog, clock)
    derive_again(catalog, second, rejects=(first,))
    assert deliver(catalog, clock)

    third = late(catalog, clock, 4)

    assert [one.job_id for one in catalog.earlier_series(third)] == [second]


def test_the_latest_job_is_named_by_all_that_it_supersedes(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    second = late(catalog, clock)
    derive_again(catalog, second, rejects=(first,))
    third = late(catalog, clock, 4)

    derive_again(catalog, third, rejects=(first,))

    assert catalog.get_job(third).supersedes == (first, second)


def test_superseded_job_cannot_take_its_place_back(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    derive_again(catalog, late(catalog, clock))

    with pytest.raises(CatalogError) as caught:
        catalog.retry_job(first, again=True)
    assert caught.value.code == "job_superseded"


def test_overtaken_job_is_retried_once_the_later_one_is_refused(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DELIVERING)
    second = late(catalog, clock)
    with pytest.raises(CatalogError):
        catalog.retry_job(first)
    catalog.refuse_job(catalog.get_job(second), Problem("mixed_patients", "Two patients."))

    retried = catalog.retry_job(first)

    assert (retried.state, retried.superseded_by) == (JobState.SELECTING, None)


def test_superseded_series_is_not_delivered_again_when_its_content_comes_again(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    catalog.add_instances([instance(number) for number in range(3)])
    second = complete(catalog, clock, model_identity="demo 2")
    assert second is not None
    derive_again(catalog, second)
    catalog.add_instances([instance(number) for number in range(3)])

    assert complete(catalog, clock, resend="redeliver") is None

    assert catalog.get_job(first).state is JobState.DONE
    assert catalog.get_job(first).details["sent_again"] == 1


def test_delivery_is_done_although_the_peer_takes_no_note(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DONE)
    second = late(catalog, clock)
    derive_again(catalog, second, rejects=(first,))
    claim = catalog.claim_delivery(clock())
    assert claim is not None
    *images, note = catalog.delivery_instances(claim.id)
    for one in images:
        answer(catalog, claim, one.sop_instance_uid, Verdict.ACCEPTED, status=0)
    with pytest.raises(CatalogError, match="1 of 5"):
        catalog.finish_delivery(claim)
    answer(catalog, claim, note.sop_instance_uid, Verdict.PERMANENT)

    assert catalog.finish_delivery(claim, remark=Problem("rejection_not_taken", "No."))

    (done,) = catalog.list_deliveries(job_id=second)
    assert (done.state, done.reason) == (DeliveryState.DONE, Problem("rejection_not_taken", "No."))
    assert catalog.get_job(second).state is JobState.DONE


def test_derived_files_of_a_cancelled_job_expire(catalog: Catalog, clock: Clock) -> None:
    first = job_in(catalog, clock, JobState.DELIVERING)
    catalog.cancel_job(first)
    assert catalog.remove_derived(Expiry(refused=clock()), lambda job_id: True) == [first]
    assert catalog.remove_derived(Expiry(refused=clock()), lambda job_id: True) == []
