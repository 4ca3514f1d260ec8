"""The catalog: deliveries, quarantine, rejected peers and retention."""

from datetime import timedelta
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, DeliveryState, JobState, Verdict
from dicom_node.catalog.quarantine import MAX_REJECTED_PEERS
from dicom_node.catalog.retention import Expiry
from dicom_node.deliver.destinations.dicom.status import verdict
from dicom_node.errors import CatalogError
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock, answer, deliver, derive, gone, instance, job_in, run_out


def test_delivery_is_done_only_when_every_instance_is_accepted(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    answer(catalog, delivery, "2.25.0", verdict(0x0000), status=0x0000)
    answer(catalog, delivery, "2.25.1", verdict(0xB000), status=0xB000)
    answer(catalog, delivery, "2.25.2", verdict(0xA700), status=0xA700)

    with pytest.raises(CatalogError, match="1 of 3 instances"):
        catalog.finish_delivery(delivery)

    answer(catalog, delivery, "2.25.2", verdict(0x0000), status=0x0000)
    catalog.finish_delivery(delivery)
    assert catalog.get_job(job_id).state is JobState.DONE


def test_only_the_last_attempts_are_kept(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)
    for number in range(60):
        delivery = catalog.claim_delivery(clock())
        assert delivery is not None
        catalog.retry_delivery(delivery, at=clock(), reason=Problem(f"no_{number}", "Not reached."))

    kept = catalog.attempts_of([delivery.id])[delivery.id]

    assert [one.number for one in kept] == list(range(11, 61))
    assert kept[-1].reason == Problem("no_59", "Not reached.")


def test_delivery_waits_until_its_time(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    reason = Problem("no_connection", "Not reached.")

    catalog.retry_delivery(delivery, at=clock() + timedelta(seconds=10), reason=reason)

    assert catalog.claim_delivery(clock()) is None
    clock.advance(10)
    again = catalog.claim_delivery(clock())
    assert again is not None
    assert (again.attempts, again.reason) == (1, reason)


def test_job_says_why_its_delivery_waits_until_it_is_done(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    reason = Problem("no_connection", "Not reached.", "Start it.")

    catalog.retry_delivery(delivery, at=clock() + timedelta(seconds=10), reason=reason)

    job = catalog.get_job(job_id)
    assert job.state is JobState.DELIVERING
    assert job.reason == Problem(
        code="delivery_waits", sentence="Delivery to pacs is tried again: Not reached.", remedy="Start it."
    )
    clock.advance(10)
    deliver(catalog, clock)
    assert catalog.get_job(job_id).reason is None


def test_waiting_delivery_is_due_at_once_when_asked_for_by_hand(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    with pytest.raises(CatalogError, match="being delivered at this moment"):
        catalog.retry_job(job_id)
    catalog.retry_delivery(delivery, at=clock() + timedelta(hours=1), reason=Problem("no_connection", "Not reached."))

    assert catalog.retry_job(job_id).state is JobState.DELIVERING

    again = catalog.claim_delivery(clock(), exclude_destinations=["pacs"])
    assert again is not None
    assert (again.id, again.attempts) == (delivery.id, 1)


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
    answer(catalog, delivery, "2.25.0", verdict(0x0000), status=0x0000)
    catalog.finish_delivery(delivery, reason=Problem("refused", "The PACS said no."))
    job = catalog.get_job(job_id)
    assert job.state is JobState.FAILED
    assert job.reason is not None
    assert "The PACS said no." in job.reason.sentence

    assert catalog.retry_job(job_id).state is JobState.DELIVERING

    again = catalog.claim_delivery(clock())
    assert again is not None
    assert [one.accepted for one in catalog.delivery_instances(again.id)] == [True, False, False]


def test_unreadable_objects_of_one_association_show_as_one_refused_job(catalog: Catalog) -> None:
    reason = Problem("not_dicom", "Not DICOM.", "Look at the sender.")
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
        reason=Problem("conflict", "Other content."),
        series_instance_uid="1.2.3",
    )

    assert catalog.list_quarantine()[0].series_key == catalog.list_series()[0].key
    assert catalog.list_jobs() == []


def test_rejected_peers_are_counted_and_bounded(catalog: Catalog, clock: Clock) -> None:
    reason = Problem("unknown_called_ae", "No such route.")
    for number in range(MAX_REJECTED_PEERS + 5):
        clock.advance(1)
        catalog.note_rejected_peer(calling_ae=f"P{number}", called_ae="X", peer="h", reason=reason)
    catalog.note_rejected_peer(calling_ae=f"P{MAX_REJECTED_PEERS + 4}", called_ae="X", peer="h", reason=reason)

    peers = catalog.rejected_peers()
    assert len(peers) == MAX_REJECTED_PEERS
    assert peers[0].count == 2


def test_files_of_a_series_with_an_unfinished_job_do_not_expire(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)
    clock.advance(1e6)

    assert catalog.remove_sources(Expiry(done=clock(), refused=clock()), gone) == []


def test_files_expire_by_how_their_job_ended(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.SELECTING)
    catalog.refuse_job(catalog.get_job(job_id), Problem("x", "No."))

    assert catalog.remove_sources(Expiry(done=clock()), gone) == []
    assert len(catalog.remove_sources(Expiry(refused=clock()), gone)) == 3


def test_delivery_of_a_killed_node_is_given_back_and_keeps_what_was_answered(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)
    lost = catalog.claim_delivery(clock())
    assert lost is not None
    answer(catalog, lost, "2.25.0", Verdict.ACCEPTED, status=0x0000)

    assert run_out(catalog, clock) == 1

    again = catalog.claim_delivery(clock())
    assert again is not None
    assert again.accepted_count == 1
    assert not answer(catalog, lost, "2.25.1", Verdict.ACCEPTED, status=0x0000)
    assert not catalog.finish_delivery(lost, reason=Problem("late", "Late."))
    assert not catalog.retry_delivery(lost, at=clock(), reason=Problem("late", "Late."))
    assert catalog.get_delivery(again.id).state is DeliveryState.SENDING


def test_nothing_goes_to_a_paused_destination_not_even_by_hand(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)
    catalog.retry_job(job_id)

    assert catalog.claim_delivery(clock(), paused_destinations=["pacs"]) is None
    assert catalog.claim_delivery(clock()) is not None
