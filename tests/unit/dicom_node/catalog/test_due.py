"""What is due, and rows that hold nothing up."""

import pytest
from sqlalchemy import text

from dicom_node.catalog import Catalog, DeliveryState, JobState
from tests.catalog_jobs import Clock, complete, instance, job_in


def test_oldest_of_each_step_is_known(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.QUEUED)
    queued_at = clock()
    clock.advance(5)
    catalog.add_instance(instance(9, series="1.2.9"))

    assert catalog.oldest_due() == {"translate": queued_at, "completion": clock()}


def test_what_is_worked_on_is_not_due(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.TRANSLATING)

    assert catalog.oldest_due() == {}


def test_delivery_to_a_destination_that_is_left_alone_is_not_due(catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DELIVERING)

    assert catalog.oldest_due() == {"deliver": clock()}
    assert catalog.oldest_due(exclude_destinations=["pacs"]) == {}


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)  # the other takes no such value
def test_job_whose_row_cannot_be_read_is_set_aside_and_the_next_is_claimed(catalog: Catalog, clock: Clock) -> None:
    bad = job_in(catalog, clock, JobState.QUEUED)
    catalog.add_instance(instance(5, series="1.2.9"))
    good = complete(catalog, clock)
    assert good is not None
    catalog.accept_job(catalog.get_job(good), details={})
    with catalog.write() as connection:
        connection.execute(text("UPDATE jobs SET attempts = 'x' WHERE id = :id"), {"id": bad})

    claim = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")

    assert claim is not None
    assert claim.id == good
    assert [job.id for job in catalog.list_jobs()] == [good]
    assert catalog.count_jobs()["failed"] == 1


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)  # the other takes no such value
def test_delivery_whose_row_cannot_be_read_fails_its_job(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)
    with catalog.write() as connection:
        connection.execute(text("UPDATE deliveries SET attempts = 'x'"))

    assert catalog.claim_delivery(clock()) is None

    assert catalog.get_job(job_id).state is JobState.FAILED
    assert catalog.count_deliveries() == {("pacs", DeliveryState.FAILED): 1}


def test_details_that_are_no_json_say_so(catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.QUEUED)
    with catalog.write() as connection:
        connection.execute(text("UPDATE jobs SET details = '{' WHERE id = :id"), {"id": job_id})

    assert catalog.get_job(job_id).details == {"unreadable": True}
