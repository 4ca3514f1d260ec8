"""A lease keeps a claim while its block lives and gives signs of life, and says when it is lost."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, JobRow, JobState
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock, job_in
from tests.peers import wait_until

#: A lease is renewed three times while it lasts, by a thread that waits for real; all else follows a clock that stands still.
LEASE_SECONDS = 0.3


@pytest.fixture
def catalog(location: Path | str, clock: Clock) -> Iterator[Catalog]:
    with Catalog(location, clock=clock, monotonic=clock.monotonic, lease_seconds=LEASE_SECONDS) as catalog:
        yield catalog


@pytest.fixture
def claim(catalog: Catalog, clock: Clock) -> JobRow:
    job_in(catalog, clock, JobState.QUEUED)
    claim = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
    assert claim is not None
    return claim


def test_a_claim_is_kept_for_as_long_as_its_block_lasts(catalog: Catalog, clock: Clock, claim: JobRow) -> None:
    with catalog.hold(claim, patience_seconds=60) as lease:
        for _ in range(3):
            clock.advance(0.9 * LEASE_SECONDS)
            wait_until(lambda: _whole(catalog, clock, claim), seconds=10, what="the claim to be renewed")
            assert catalog.sweep_leases() == 0
            assert not lease.lost

    clock.advance(LEASE_SECONDS)
    assert catalog.sweep_leases() == 1
    assert catalog.get_job(claim.id).state is JobState.QUEUED


def test_a_block_that_hangs_loses_its_claim(catalog: Catalog, clock: Clock, claim: JobRow) -> None:
    with catalog.hold(claim, patience_seconds=60) as lease:
        clock.advance(60.1)
        wait_until(lambda: lease.lost, seconds=10, what="the lease to notice the silence")
        assert lease.silent
    clock.advance(LEASE_SECONDS)  # it may have been renewed in the moment of silence
    assert catalog.sweep_leases() == 1


def test_signs_of_life_keep_the_claim(catalog: Catalog, clock: Clock, claim: JobRow) -> None:
    with catalog.hold(claim, patience_seconds=0.5) as lease:
        for _ in range(3):
            clock.advance(0.2)
            lease.beat()
            wait_until(lambda: _whole(catalog, clock, claim), seconds=10, what="the claim to be renewed")
        assert not lease.lost


def _whole(catalog: Catalog, clock: Clock, claim: JobRow) -> bool:
    """Whether the claim has just been renewed, for as long as a lease lasts."""
    until = catalog.get_job(claim.id).claimed_until
    return until == clock() + timedelta(seconds=LEASE_SECONDS)


def test_a_cancelled_job_is_noticed(catalog: Catalog, claim: JobRow) -> None:
    with catalog.hold(claim, patience_seconds=60) as lease:
        catalog.cancel_job(claim.id)
        wait_until(lambda: lease.lost, seconds=10, what="the lease to notice the cancellation")


@pytest.mark.parametrize("step_seconds", [3600.0, -3600.0])
def test_step_of_the_clock_loses_no_association_that_is_kept(location: Path | str, step_seconds: float) -> None:
    clock = Clock()
    with Catalog(location, clock=clock, monotonic=clock.monotonic) as catalog:
        catalog.open_association("a-1", called_ae="CECT_ART", calling_ae="PACS", peer="127.0.0.1")
        catalog.sweep_leases()
        clock.step(step_seconds)
        for _ in range(6):
            catalog.sweep_leases()
            clock.advance(5)
            catalog.renew_associations("a-")

        assert [one.id for one in catalog.open_associations()] == ["a-1"]


@pytest.mark.parametrize("step_seconds", [3600.0, -3600.0])
def test_step_of_the_clock_keeps_no_claim_that_nobody_renews(location: Path | str, step_seconds: float) -> None:
    clock = Clock()
    with Catalog(location, clock=clock, monotonic=clock.monotonic) as catalog:
        job_in(catalog, clock, JobState.TRANSLATING)
        catalog.sweep_leases()
        clock.step(step_seconds)
        assert catalog.sweep_leases() == 0
        clock.advance(catalog.lease_seconds)

        assert catalog.sweep_leases() == 1


def test_clock_set_back_between_two_runs_keeps_no_claim_of_the_first(location: Path | str) -> None:
    clock = Clock()
    with Catalog(location, clock=clock) as catalog:
        job_in(catalog, clock, JobState.TRANSLATING)
    clock.step(-3600)
    with Catalog(location, clock=clock, monotonic=clock.monotonic) as catalog:
        catalog.sweep_leases()
        clock.advance(catalog.lease_seconds)

        assert catalog.sweep_leases() == 1


@pytest.mark.parametrize("step_seconds", [3600.0, -3600.0])
def test_step_of_the_clock_moves_the_next_attempt_with_it(location: Path | str, step_seconds: float) -> None:
    clock = Clock()
    with Catalog(location, clock=clock, monotonic=clock.monotonic) as catalog:
        job_in(catalog, clock, JobState.DELIVERING)
        delivery = catalog.claim_delivery(clock())
        assert delivery is not None
        catalog.retry_delivery(delivery, at=clock() + timedelta(seconds=60), reason=Problem("no_answer", "None came."))
        catalog.sweep_leases()
        clock.step(step_seconds)
        catalog.sweep_leases()
        clock.advance(59)
        assert catalog.claim_delivery(clock()) is None

        clock.advance(1)
        assert catalog.claim_delivery(clock()) is not None


@pytest.mark.parametrize("zone", ["UTC-14", "UTC+11", "CET-1CEST,J1,J365"])
def test_a_local_time_that_jumps_is_no_lapse_of_time(
    location: Path | str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when daylight saving time begins or ends, or somebody sets another time zone."""
    with Catalog(location, clock=Clock()) as early:
        job_in(early, early.now, JobState.QUEUED)
    with Catalog(location, lease_seconds=3600.0) as catalog:
        held = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
        assert held is not None
        before = catalog.get_job(held.id)
        with monkeypatch.context() as patched:
            patched.setenv("TZ", zone)
            time.tzset()
            assert catalog.sweep_leases() == 0
            with Catalog(location, lease_seconds=3600.0) as after_a_start:
                assert after_a_start.sweep_leases() == 0
                assert after_a_start.get_job(held.id) == before
                assert abs((after_a_start.now() - catalog.now()).total_seconds()) < 10
        time.tzset()
        assert catalog.get_job(held.id) == before
