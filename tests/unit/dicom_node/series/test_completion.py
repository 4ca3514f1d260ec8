"""The completion and selection steps: from received instances to a job, and from a job to a decision."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node.catalog import Catalog, JobState, SeriesRow, SeriesState
from dicom_node.catalog.leases import MAX_INTERRUPTIONS
from dicom_node.config import Settings, parse_settings
from dicom_node.series import CompletionStep, Decision, SelectStep, examine_series
from dicom_node.series.examiner import ExaminerDiedError
from tests.catalog_jobs import Clock
from tests.ct_series import body_hu
from tests.peers import wait_until
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


def dies(times: int) -> Callable[..., Decision]:
    """Looks at series; the first ``times`` its process dies."""
    left = [ExaminerDiedError("examiner_died", "It died.")] * times

    def examine(*arguments: Any, **more: Any) -> Decision:
        if left:
            raise left.pop()
        return examine_series(*arguments, **more)

    return examine


def test_series_whose_examiner_died_is_looked_at_again_after_a_while(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    add_series(catalog, write_ct_series(body_hu(3)), route="CECT_ART")
    examine = dies(MAX_INTERRUPTIONS - 1)

    assert select(settings, catalog, clock, examine=examine) is JobState.SELECTING

    step = SelectStep(settings, catalog, examine=examine)
    assert not step.run_once()
    for _ in range(MAX_INTERRUPTIONS - 1):
        clock.advance(10)
        assert step.run_once()
    (job,) = catalog.list_jobs()
    assert (job.state, job.attempts, job.reason) == (JobState.QUEUED, 0, None)


def test_series_whose_examiner_dies_every_time_fails(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    add_series(catalog, write_ct_series(body_hu(3)), route="CECT_ART")
    examine = dies(MAX_INTERRUPTIONS)

    select(settings, catalog, clock, examine=examine)
    for _ in range(MAX_INTERRUPTIONS - 1):
        clock.advance(10)
        SelectStep(settings, catalog, examine=examine).run_once()

    (job,) = catalog.list_jobs()
    assert job.reason is not None
    assert (job.state, job.failed_in, job.reason.code) == (JobState.FAILED, JobState.SELECTING, "examiner_died")
    assert job.reason.sentence.endswith("Given up after 3 attempts.")


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


def look_until(
    step: CompletionStep, clock: Clock, condition: Callable[[], bool], *, every_seconds: float = 1.0
) -> None:
    """Look, the clock stepped each time; what is asked in threads is asked meanwhile."""

    def look() -> bool:
        clock.advance(every_seconds)
        step.run_once()
        return condition()

    wait_until(look, seconds=20, what="the step to get there")


@pytest.mark.parametrize(
    ("wanted", "there", "fetched"),
    [(True, 5, [("CECT_VEN", 4)]), (False, 5, []), (True, 3, [])],
    ids=["missing", "not wanted", "nothing missing"],
)
def test_what_an_archive_has_more_of_is_fetched_before_the_series_is_complete(
    settings: Settings,
    catalog: Catalog,
    clock: Clock,
    write_ct_series: Writer,
    wanted: bool,
    there: int,
    fetched: list[tuple[str, int]],
) -> None:
    paths = write_ct_series(np.zeros((5, 8, 8)))
    add_series(catalog, paths[:2] + paths[3:], route="CECT_VEN")
    counted: list[str] = []
    asked: list[tuple[str, int]] = []

    def count(study: str, series: str) -> int:
        counted.append(series)
        return there

    def fetch(series: SeriesRow, held: Collection[str]) -> int:
        asked.append((series.route, len(held)))
        add_series(catalog, paths[2:3], route=series.route)
        return 1

    limits = settings.series.model_copy(update={"fetch_missing": wanted})
    step = CompletionStep(
        settings.model_copy(update={"series": limits}),
        catalog,
        model_identity=lambda model: model,
        count=count,
        fetch=fetch,
        monotonic=clock.monotonic,
    )
    # It is asked again only when the first answer, which is not what has come, is known.
    look_until(step, clock, lambda: len(counted) == 2, every_seconds=0.05)
    assert not catalog.list_jobs()
    look_until(step, clock, lambda: bool(catalog.list_jobs()))

    assert asked == fetched
    (series,) = catalog.list_series()
    assert series.instance_count == (5 if fetched else 4)
