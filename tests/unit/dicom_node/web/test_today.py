"""The first page: what was done in the last hours, and how long what runs still takes."""

from datetime import UTC, datetime, timedelta

import pytest

from dicom_node.catalog import Catalog, JobState
from dicom_node.catalog.activity import FinishedJob
from dicom_node.web.today import by_hour, seconds_left
from tests.catalog_jobs import Clock, job_in
from tests.unit.dicom_node.web.conftest import Console

NOW = datetime(2026, 1, 2, 12, 30, tzinfo=UTC)


def finished(hours_ago: float, *, seconds: float = 60, model: str = "demo 1", images: int = 100) -> FinishedJob:
    return FinishedJob(
        finished_at=NOW - timedelta(hours=hours_ago),
        seconds=seconds,
        translate_seconds=0.5 * images,
        images=images,
        model_identity=model,
    )


def test_hours_of_the_last_day_have_their_jobs_and_their_median() -> None:
    hours = by_hour([finished(0, seconds=60), finished(0.1, seconds=180), finished(2), finished(30)], now=NOW)

    assert (len(hours), hours[-1].begins, hours[0].begins) == (
        24,
        NOW.replace(minute=0),
        datetime(2026, 1, 1, 13, tzinfo=UTC),
    )
    assert {hour.begins.hour: (hour.done, hour.minutes) for hour in hours if hour.done} == {12: (2, 2.0), 10: (1, 1.0)}
    assert hours[0].minutes is None


def test_time_left_is_that_of_the_same_model_by_its_images(catalog: Catalog, clock: Clock) -> None:
    job = catalog.get_job(job_in(catalog, clock, JobState.TRANSLATING))
    running = job.model_copy(update={"progress": 0.25, "instance_count": 200, "model_identity": "demo 1"})

    assert seconds_left(running, [finished(1), finished(1, model="other 1", images=7)]) == pytest.approx(75)
    assert seconds_left(running, [finished(1, model="other 1")]) is None
    assert seconds_left(running.model_copy(update={"progress": None}), [finished(1)]) is None


def test_finished_jobs_are_those_that_are_done_with_the_time_since_their_last_image(
    catalog: Catalog, clock: Clock
) -> None:
    began = clock()
    clock.advance(3600)
    job_in(catalog, clock, JobState.DONE)

    (one,) = catalog.finished_since(began)

    assert (one.images, one.seconds) == (3, (clock() - catalog.list_series()[-1].last_received_at).total_seconds())
    assert catalog.finished_since(clock() + timedelta(seconds=1)) == []


def test_page_draws_what_was_done(console: Console) -> None:
    assert "Median minutes" in console.client.get("/").text
    assert "<rect" not in console.client.get("/parts/today").text
