"""A job with two derived series: each is one of its own to whoever asks for a series, and both go the same way."""

from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, DerivedInstance, ImageReference, JobState
from dicom_node.catalog.retention import Expiry
from dicom_node.catalog.schema import replaced_images
from dicom_node.receive.holdings import Holdings
from dicom_node.states import Verdict
from tests.catalog_jobs import Clock, answer, complete, deliver, derive, gone, instance, job_in

UNCERTAINTY = "2.25.19"
SYNTHETIC_IMAGES = ["2.25.0", "2.25.1", "2.25.2"]
ITS_IMAGES = [f"{UNCERTAINTY}.{number}" for number in range(3)]


@pytest.fixture
def job(catalog: Catalog, clock: Clock) -> int:
    """A job that has just written both."""
    key = job_in(catalog, clock, JobState.DERIVING)
    assert derive(catalog, key, uncertainty=UNCERTAINTY)
    return key


def test_each_series_is_held_with_its_own_images(catalog: Catalog, job: int) -> None:
    assert [(one.job_id, one.series_instance_uid, one.count, one.first) for one in catalog.held_derived()] == [
        (job, "2.25.9", 3, Path("/d/2.25.9/0")),
        (job, UNCERTAINTY, 3, Path(f"/d/{UNCERTAINTY}/0")),
    ]
    assert len(catalog.held_derived(study_instance_uid="1.2")) == 2
    assert catalog.held_derived(study_instance_uid="1.3") == []


def test_who_retrieves_a_series_gets_no_image_of_the_other(catalog: Catalog, job: int) -> None:
    holdings = Holdings(catalog)
    found = [[one.sop_instance_uid for one in holdings.images(series)] for series in holdings.series()]
    assert found == [SYNTHETIC_IMAGES, ITS_IMAGES]


def test_a_delivery_sends_the_synthetic_images_first_and_counts_all(catalog: Catalog, job: int) -> None:
    (delivery,) = catalog.list_deliveries(job_id=job)
    assert delivery.instance_count == 6
    assert [one.sop_instance_uid for one in catalog.delivery_instances(delivery.id)] == SYNTHETIC_IMAGES + ITS_IMAGES


def test_what_a_delivery_sends_is_counted_by_series(catalog: Catalog, clock: Clock, job: int) -> None:
    (delivery,) = catalog.list_deliveries(job_id=job)
    assert catalog.images_sent(delivery.id) == {"2.25.9": 3, UNCERTAINTY: 3}


def test_a_delivery_is_done_only_with_both(catalog: Catalog, clock: Clock, job: int) -> None:
    sending = catalog.claim_delivery(clock())
    assert sending is not None
    for uid in SYNTHETIC_IMAGES:
        answer(catalog, sending, uid, Verdict.ACCEPTED, status=0)
    assert catalog.get_delivery(sending.id).accepted_count == 3
    with pytest.raises(Exception, match="3 of 6 instances are not accepted"):
        catalog.finish_delivery(sending)


def test_the_images_of_both_are_to_be_kept_by_a_destination_that_commits(
    catalog: Catalog, clock: Clock, job: int
) -> None:
    sending = catalog.claim_delivery(clock())
    assert sending is not None
    for one in catalog.delivery_instances(sending.id):
        answer(catalog, sending, one.sop_instance_uid, Verdict.ACCEPTED, status=0)
    assert [uid for _, uid in catalog.uncommitted(sending.id)] == SYNTHETIC_IMAGES + ITS_IMAGES


def test_the_source_series_is_found_by_the_uid_of_the_uncertainty(catalog: Catalog, job: int) -> None:
    assert [one.series_instance_uid for one in catalog.find_series(query=UNCERTAINTY)] == ["1.2.3"]
    assert catalog.get_job(job).uncertainty_series_instance_uid == UNCERTAINTY


def test_what_replaces_both_is_told_of_both_with_the_series_of_each_image(
    catalog: Catalog, clock: Clock, job: int
) -> None:
    assert deliver(catalog, clock)
    catalog.add_instance(instance(3))
    later = complete(catalog, clock)
    assert later is not None

    (earlier,) = catalog.earlier_series(later)

    assert earlier.uncertainty_series_instance_uid == UNCERTAINTY
    assert earlier.images == tuple(
        ImageReference(series_instance_uid=series, sop_instance_uid=uid, sop_class_uid="1")
        for series, uids in (("2.25.9", SYNTHETIC_IMAGES), (UNCERTAINTY, ITS_IMAGES))
        for uid in uids
    )


def test_a_note_is_an_image_of_neither(catalog: Catalog, clock: Clock, job: int) -> None:
    assert deliver(catalog, clock)
    catalog.add_instance(instance(3))
    later = complete(catalog, clock)
    assert later is not None
    assert catalog.accept_job(catalog.get_job(later), details={})
    translating = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
    assert catalog.finish_translation(translating, result_path=Path("/r"), details={})
    written = [
        DerivedInstance(
            sop_instance_uid=f"{series}.1",
            sop_class_uid="1",
            series_instance_uid=series,
            path=Path(f"/d/{series}"),
            rejects_job=job if series == "2.25.50" else None,
        )
        for series in ("2.25.30", "2.25.40", "2.25.50")
    ]
    assert catalog.finish_derivation(
        catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "w"),
        series_instance_uid="2.25.30",
        instances=written,
        destinations=["pacs"],
        uncertainty_series_instance_uid="2.25.40",
    )
    (delivery,) = catalog.list_deliveries(job_id=later)
    assert (delivery.instance_count, delivery.note_count) == (2, 1)
    assert catalog.images_sent(delivery.id) == {"2.25.30": 1, "2.25.40": 1}
    held = catalog.held_derived()
    assert [(one.series_instance_uid, one.count) for one in held] == [("2.25.30", 1), ("2.25.40", 1)]


def test_both_are_sent_again_and_to_another_destination(catalog: Catalog, clock: Clock, job: int) -> None:
    assert deliver(catalog, clock)
    catalog.redeliver_job(job, destination="archive")
    sending = catalog.claim_delivery(clock())
    assert sending is not None
    assert sending.destination == "archive"
    assert [one.sop_instance_uid for one in catalog.delivery_instances(sending.id)] == SYNTHETIC_IMAGES + ITS_IMAGES


def test_the_audit_trail_counts_the_images_of_both(catalog: Catalog, clock: Clock, job: int) -> None:
    before = clock()
    clock.advance(1)
    assert deliver(catalog, clock)
    (went,) = catalog.transfers_since(before)
    assert went.sop_classes == {"1": 6}


def test_retention_takes_the_files_of_both(catalog: Catalog, clock: Clock, job: int) -> None:
    assert deliver(catalog, clock)
    clock.advance(60)
    expiry = Expiry(done=clock(), refused=None, failed=None)
    assert catalog.remove_derived(expiry, gone) == [job]
    assert catalog.held_derived() == []
    assert catalog.derived_instances(job) == []


def done_anew(catalog: Catalog, job: int) -> None:
    """Up to its derived series, without uncertainty."""
    catalog.retry_job(job, again=True)
    assert catalog.accept_job(catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "w"), details={})
    translating = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
    assert catalog.finish_translation(translating, result_path=Path("/r"), details={})
    assert catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "w") is not None
    assert derive(catalog, job)


def test_a_job_done_anew_without_uncertainty_has_the_one_series(catalog: Catalog, clock: Clock, job: int) -> None:
    assert deliver(catalog, clock)
    done_anew(catalog, job)
    assert catalog.get_job(job).uncertainty_series_instance_uid is None
    assert [one.series_instance_uid for one in catalog.held_derived()] == ["2.25.9"]


def test_an_uncertainty_that_is_not_told_again_is_known_with_who_holds_it(
    catalog: Catalog, clock: Clock, job: int
) -> None:
    assert deliver(catalog, clock)
    done_anew(catalog, job)

    (earlier,) = catalog.earlier_series(job)

    assert (earlier.job_id, earlier.series_instance_uid, earlier.destinations) == (job, "2.25.9", ("pacs",))
    assert [one.sop_instance_uid for one in earlier.images] == ITS_IMAGES
    assert earlier.uncertainty_series_instance_uid == UNCERTAINTY


def test_what_no_destination_took_is_not_remembered(catalog: Catalog, clock: Clock, job: int) -> None:
    catalog.cancel_job(job)
    done_anew(catalog, job)
    assert catalog.earlier_series(job) == []


def test_what_a_job_made_before_is_forgotten_with_it(catalog: Catalog, clock: Clock, job: int) -> None:
    assert deliver(catalog, clock)
    done_anew(catalog, job)
    assert deliver(catalog, clock)
    clock.advance(60)
    everything = Expiry(done=clock(), refused=clock(), failed=clock())
    assert catalog.remove_derived(everything, gone)
    assert catalog.remove_sources(everything, gone)

    assert catalog.forget(clock())

    with catalog.read() as connection:
        assert connection.execute(replaced_images.select()).all() == []
