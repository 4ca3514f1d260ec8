"""Work of an urgent route comes first; what nothing may be sent to gets nothing, whatever else is wrong."""

from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_node.catalog import Catalog, JobState
from dicom_node.config import parse_settings
from tests.catalog_jobs import Clock, complete, derive, instance


def _queued(catalog: Catalog, clock: Clock, route: str) -> int:
    """A job on ``route``, queued."""
    series = f"1.2.{len(catalog.list_jobs())}"
    catalog.add_instances([instance(n, series=series, route=route, digest=series) for n in range(3)])
    job_id = complete(catalog, clock)
    assert job_id is not None
    assert catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "w")
    assert catalog.accept_job(catalog.get_job(job_id), details={"slices": 3})
    return job_id


def _claimed(catalog: Catalog, ranks: dict[str, int]) -> list[str]:
    found = []
    while job := catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w", ranks=ranks):
        found.append(job.route)
    return found


def test_the_first_rank_comes_first_then_the_oldest(catalog: Catalog, clock: Clock) -> None:
    for route in ("ROUTINE", "HIGH", "ROUTINE2", "STAT"):
        _queued(catalog, clock, route)
    assert _claimed(catalog, {"STAT": 0, "HIGH": 1}) == ["STAT", "HIGH", "ROUTINE", "ROUTINE2"]


def test_without_ranks_the_oldest_comes_first(catalog: Catalog, clock: Clock) -> None:
    for route in ("ROUTINE", "STAT"):
        _queued(catalog, clock, route)
    assert _claimed(catalog, {}) == ["ROUTINE", "STAT"]


def test_routes_say_their_rank() -> None:
    settings = parse_settings(
        {
            "routes": {
                "A": {"phase": "venous"},
                "B": {"phase": "venous", "priority": "stat"},
                "C": {"phase": "venous", "priority": "high"},
            }
        }
    )
    assert settings.ranks == {"B": 0, "C": 1}


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)  # the other takes no such value
def test_a_row_that_cannot_be_read_opens_no_paused_destination(catalog: Catalog, clock: Clock) -> None:
    for destination in ("broken", "paused"):
        job_id = _queued(catalog, clock, "ROUTINE")
        assert catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
        assert catalog.finish_translation(catalog.get_job(job_id), result_path=Path("/r"), details={})
        assert catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "w")
        with catalog.write() as connection:  # instance UIDs of derived images are one job's own
            connection.execute(text("DELETE FROM derived_instances WHERE job_id != :id"), {"id": job_id})
        assert derive(catalog, job_id, (destination,))
    with catalog.write() as connection:
        connection.execute(text("UPDATE deliveries SET attempts = 'x' WHERE destination = 'broken'"))
    assert catalog.claim_delivery(clock(), paused_destinations=["paused"]) is None
