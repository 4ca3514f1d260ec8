"""A job keeps the route that it began with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, JobState
from dicom_node.config import Route, Settings
from dicom_node.job_route import job_route
from s2ldm_core.problem import Problem
from tests.catalog_jobs import QUIET, Clock, due, instance


def settings(**route: object) -> Settings:
    return Settings.model_validate({"routes": {"CECT_ART": {"phase": "arterial", **route}}})


@pytest.fixture
def began(tmp_path: Path) -> Iterator[tuple[Catalog, int]]:
    clock = Clock()
    with Catalog(tmp_path / "catalog.sqlite", clock=clock) as catalog:
        catalog.add_instances([instance(number) for number in range(3)])
        clock.advance(QUIET)
        ((series, signal),) = due(catalog, clock)
        job_id = catalog.complete_series(
            series.key,
            signal=signal,
            phase="arterial",
            model="demo",
            route_settings=settings(seed=5).kept_route("CECT_ART"),
            seen_at=series.last_received_at,
        )
        yield catalog, job_id


def test_job_keeps_its_route_when_the_configuration_changes(began: tuple[Catalog, int]) -> None:
    catalog, job_id = began

    route = job_route(catalog.get_job(job_id), settings(phase="venous", seed=6, min_slices=50))

    assert (route.phase, route.seed, route.min_slices) == ("arterial", 5, 8)


def test_job_keeps_whether_it_tells_its_uncertainty(tmp_path: Path) -> None:
    kept = settings(uncertainty=True).kept_route("CECT_ART")
    assert kept is not None
    assert kept["uncertainty"] is True
    del kept["uncertainty"]  # as jobs of the version before have kept theirs
    with Catalog(tmp_path / "catalog.sqlite", clock=Clock()) as catalog:
        catalog.add_instances([instance(1)])
        (series,) = catalog.list_series()
        job_id = catalog.complete_series(
            series.key,
            signal="released",
            phase="arterial",
            model="demo",
            route_settings=kept,
            seen_at=series.last_received_at,
        )
        route = job_route(catalog.get_job(job_id), settings(uncertainty=True))
    assert route is not None
    assert not route.uncertainty


def test_a_job_keeps_its_contrast_dose_but_not_the_usual_one() -> None:
    """A node of the version before, beside this one, refuses keys that it does not know."""
    usual, less = (settings(contrast_dose=dose).kept_route("CECT_ART") for dose in (1.0, 0.8))
    assert usual is not None
    assert less == usual | {"contrast_dose": 0.8}
    assert set(usual) == set(Route.model_fields) - {"contrast_dose"}  # defaults may be others in the next version
    assert Route.model_validate(less).contrast_dose == 0.8


def test_job_keeps_its_route_when_that_has_left_the_configuration(began: tuple[Catalog, int]) -> None:
    catalog, job_id = began

    assert job_route(catalog.get_job(job_id), Settings.model_validate({"routes": {"B": {"phase": "venous"}}})).seed == 5


def test_job_that_is_selected_anew_takes_the_present_route_with_its_own_phase(began: tuple[Catalog, int]) -> None:
    catalog, job_id = began
    catalog.refuse_job(catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "w"), Problem("x", "No."))

    job = catalog.retry_job(job_id)

    route = job_route(job, settings(phase="venous", seed=6))
    assert (route.phase, route.seed, route.series_number_offset) == ("arterial", 6, 1000)


def test_job_that_goes_on_where_it_failed_keeps_its_route(began: tuple[Catalog, int]) -> None:
    catalog, job_id = began
    catalog.accept_job(catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "w"), details={})
    catalog.fail_job(catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w"), Problem("x", "No."))

    assert job_route(catalog.retry_job(job_id), settings(seed=6)).seed == 5
