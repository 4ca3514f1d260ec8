"""When claims that have run out are given back."""

import pytest

from dicom_node.catalog import Catalog, JobState
from dicom_node.service.lease_sweep import LeaseSweep
from tests.catalog_jobs import Clock, job_in


@pytest.fixture
def claimed(catalog: Catalog, clock: Clock) -> int:
    """A job whose claim has run out."""
    job_id = job_in(catalog, clock, JobState.TRANSLATING)
    clock.advance(catalog.lease_seconds + 1)
    return job_id


def test_only_node_gives_back_at_once(catalog: Catalog, clock: Clock, claimed: int) -> None:
    assert LeaseSweep(catalog, pause_seconds=8, wait_first=False, monotonic=clock.monotonic).run_once()


def test_node_that_has_just_taken_the_lead_lets_the_others_renew_first(
    catalog: Catalog, clock: Clock, claimed: int
) -> None:
    sweep = LeaseSweep(catalog, pause_seconds=8, wait_first=True, monotonic=clock.monotonic)
    assert not sweep.run_once()
    assert catalog.renew(catalog.get_job(claimed))  # its holder lives
    for _ in range(10):
        clock.advance(2)
        catalog.renew(catalog.get_job(claimed))
        assert not sweep.run_once()

    clock.advance(catalog.lease_seconds)
    sweep.run_once()  # longer than a pause
    clock.advance(8)
    sweep.run_once()
    clock.advance(8)
    assert sweep.run_once()


def test_after_a_pause_in_which_nobody_could_renew_whoever_lives_may_first(
    catalog: Catalog, clock: Clock, claimed: int
) -> None:
    catalog.renew(catalog.get_job(claimed))
    sweep = LeaseSweep(catalog, pause_seconds=8, wait_first=False, monotonic=clock.monotonic)
    clock.advance(2 * catalog.lease_seconds)  # the database did not answer

    assert not sweep.run_once()

    for _ in range(7):
        clock.advance(2)
        assert not sweep.run_once()
    clock.advance(2)
    assert sweep.run_once()
