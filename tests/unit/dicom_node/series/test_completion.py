"""The completion and selection steps: from received instances to a job, and from a job to a decision."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dicom_node.catalog import Catalog, JobState, SeriesState
from dicom_node.config import Settings, parse_settings
from dicom_node.series import CompletionStep, SelectStep
from tests.catalog_jobs import Clock
from tests.ct_series import body_hu
from tests.tiny_model import add_series

Writer = Callable[..., list[Path]]


@pytest.fixture
def settings() -> Settings:
    return parse_settings(
        {
            "series": {"quiet_seconds": 20, "min_slices": 3},
            "routes": {
                "CECT_ART": {"phase": "arterial", "anatomy": "any"},
                "CECT_VEN": {"phase": "venous", "anatomy": "any"},
            },
        }
    )


def completion(settings: Settings, catalog: Catalog, clock: Clock) -> CompletionStep:
    """The step, having looked once: silence counts from when it saw what had come."""
    step = CompletionStep(settings, catalog, model_identity=lambda model: f"{model} 1", monotonic=clock.monotonic)
    assert not step.run_once()
    return step


def test_series_becomes_a_job_with_its_routes_phase_and_model(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    add_series(catalog, write_ct_series(np.zeros((3, 8, 8))), route="CECT_VEN")
    step = completion(settings, catalog, clock)
    clock.advance(20)

    assert step.run_once()

    (job,) = catalog.list_jobs()
    assert (job.phase, job.model, job.model_identity) == ("venous", "demo", "demo 1")


def test_nothing_is_due_before_the_quiet_time(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    add_series(catalog, write_ct_series(np.zeros((3, 8, 8))), route="CECT_VEN")
    step = completion(settings, catalog, clock)
    clock.advance(19)

    assert not step.run_once()
    assert catalog.list_series()[0].state is SeriesState.RECEIVING


def test_series_of_a_route_that_left_the_configuration_is_refused_with_the_reason(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    add_series(catalog, write_ct_series(np.zeros((3, 8, 8))), route="OLD_ROUTE")
    step = completion(settings, catalog, clock)
    clock.advance(20)

    step.run_once()
    SelectStep(settings, catalog).run_once()

    (job,) = catalog.list_jobs()
    assert job.reason is not None
    assert (job.state, job.reason.code) == (JobState.REFUSED, "route_gone")


def test_series_that_cannot_be_completed_holds_up_no_other_and_says_why(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    def identity(model: str) -> str:
        if model == "odd":
            raise UnicodeEncodeError("ascii", "x", 0, 1, "made up")
        return model

    odd = settings.routes["CECT_ART"].model_copy(update={"model": "odd"})
    settings = settings.model_copy(update={"routes": {**settings.routes, "CECT_ART": odd}})
    add_series(catalog, write_ct_series(np.zeros((3, 8, 8)), folder="odd"), route="CECT_ART")
    clock.advance(1)
    add_series(catalog, write_ct_series(np.zeros((3, 8, 8))), route="CECT_VEN")
    step = CompletionStep(settings, catalog, model_identity=identity, monotonic=clock.monotonic)
    step.run_once()
    clock.advance(20)

    assert step.run_once()

    assert [job.route for job in catalog.list_jobs()] == ["CECT_VEN"]
    (failed,) = catalog.list_series(state=SeriesState.FAILED)
    assert failed.reason is not None
    assert failed.reason.code == "completion_fault"
    assert catalog.take_series_up() == 1
    assert catalog.list_series(state=SeriesState.RECEIVING)[0].route == "CECT_ART"


def select(settings: Settings, catalog: Catalog, clock: Clock, **more: Callable[[str], int]) -> JobState:
    step = completion(settings, catalog, clock)
    clock.advance(20)
    step.run_once()
    SelectStep(settings, catalog, **more).run_once()
    return catalog.list_jobs()[0].state


def test_good_series_is_queued(settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer) -> None:
    add_series(catalog, write_ct_series(body_hu(3)), route="CECT_ART")

    assert select(settings, catalog, clock) is JobState.QUEUED


def test_model_that_needs_more_slices_than_the_route_decides(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    add_series(catalog, write_ct_series(body_hu(3)), route="CECT_ART")

    assert select(settings, catalog, clock, model_min_slices=lambda _: 5) is JobState.REFUSED


def test_localizer_is_no_slice_of_the_job(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer, tmp_path: Path
) -> None:
    paths = write_ct_series(body_hu(4))
    from pydicom import dcmread

    localizer = dcmread(paths[0])
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    localizer.save_as(paths[0])
    add_series(catalog, paths, route="CECT_ART")

    assert select(settings, catalog, clock) is JobState.QUEUED
    assert len(catalog.job_instances(1)) == 3


def test_file_that_vanished_refuses_the_job(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    paths = write_ct_series(body_hu(4))
    add_series(catalog, paths, route="CECT_ART")
    paths[1].unlink()

    assert select(settings, catalog, clock) is JobState.REFUSED
    reason = catalog.list_jobs()[0].reason
    assert reason is not None
    assert reason.code == "unreadable_instances"


def test_other_images_under_a_known_uid_refuse_the_job_with_their_number(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    paths = write_ct_series(body_hu(4))
    add_series(catalog, paths, route="CECT_ART")
    for path in paths[:2]:
        path.write_bytes(path.read_bytes()[:-2] + b"\0\1")
    add_series(catalog, paths[:2], route="CECT_ART")

    assert select(settings, catalog, clock) is JobState.REFUSED
    reason = catalog.list_jobs()[0].reason
    assert reason is not None
    assert reason.code == "conflicting_instances"
    assert "2 images" in reason.sentence
