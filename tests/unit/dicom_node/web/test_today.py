"""The first page: what was done in the last hours, and how long what runs still takes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydicom import dcmread

from dicom_node.catalog import Catalog, JobState
from dicom_node.catalog.activity import DestinationNews, FinishedJob
from dicom_node.service.health import HealthCheck
from dicom_node.web.app import create_app
from dicom_node.web.today import by_hour, seconds_left
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock, job_in
from tests.unit.dicom_node.web.conftest import HERE, Console
from tests.unit.dicom_node.web.test_series import deliver

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


def test_object_in_quarantine_is_named_shown_and_taken_in_again(console: Console, tmp_path: Path) -> None:
    (held, *_) = console.catalog.series_instances(console.series)
    another = dcmread(held.path)
    another.SOPInstanceUID = another.file_meta.MediaStorageSOPInstanceUID = "2.25.77"
    another.save_as(again := tmp_path / "again.dcm")

    def quarantine(path: Path) -> None:
        console.catalog.quarantine_object(
            route="CECT_ART",
            calling_ae="SCANNER",
            peer="10.0.0.7",
            association_id=None,
            sop_instance_uid=held.sop_instance_uid,
            path=path,
            size=1,
            reason=Problem("content_conflict", "It came with other content."),
            series_instance_uid="1.2.3",
        )

    assert "quarantine" not in console.client.get("/").text
    quarantine(again)
    quarantine(tmp_path / "gone.dcm")
    assert "2 received objects in quarantine" in console.client.get("/").text
    page = console.client.get("/quarantine").text
    assert "kept for 90 days" in page
    assert page.count("It came with other content.") == 2
    assert f'href="/series/{console.series}"' in page

    refused = console.client.post("/quarantine/2/release")
    assert refused.status_code == 409
    assert "quarantined_gone" in refused.text
    console.client.post("/quarantine/1/release")
    assert [one.id for one in console.catalog.list_quarantine()] == [2]
    assert "1 received object in quarantine" in console.client.get("/").text


def test_destinations_say_when_they_last_took_a_series_and_why_they_take_none(console: Console) -> None:
    assert console.client.get("/destinations").text.count("never") == 2
    waiting = console.catalog.claim_delivery(console.catalog.now())
    reason = Problem("no_connection", "Nobody answers there.", "Start it.")
    console.catalog.retry_delivery(waiting, at=console.catalog.now(), reason=reason)

    assert "Nobody answers there." in console.client.get("/destinations").text
    news = console.catalog.news_of_destinations(["pacs", "other"])
    assert news["pacs"] == DestinationNews(last_done_at=None, waits_for=reason)
    assert news["other"] == DestinationNews(last_done_at=None, waits_for=None)

    deliver(console)
    (done,) = console.catalog.list_deliveries(job_id=console.job)
    assert console.catalog.news_of_destinations(["pacs"])["pacs"] == DestinationNews(
        last_done_at=done.finished_at, waits_for=None
    )


def test_configuration_that_is_refused_is_said_on_the_page_that_is_open(console: Console) -> None:
    console.client.get("/")
    console.path.write_text(console.path.read_text().replace("phase:", "phse:"))
    console.configuration.run_once()

    health = [HealthCheck(name="configuration", ok=True, detail=console.configuration.detail())]
    app = create_app(console.configuration, console.catalog, readiness=lambda: health, metrics=lambda: b"")
    here = TestClient(app, base_url=HERE, client=("127.0.0.1", 1))
    assert "unknown key routes.CECT_ART.phse" in here.get("/parts/today").text
    stranger = TestClient(app, base_url=HERE, client=("10.0.0.9", 1))
    assert "phse" not in stranger.get("/parts/today").text
