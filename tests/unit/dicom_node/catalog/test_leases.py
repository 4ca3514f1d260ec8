"""A lease keeps a claim while its block lives and gives signs of life, and says when it is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, JobRow, JobState
from tests.catalog_jobs import Clock, job_in
from tests.peers import wait_until

LEASE_SECONDS = 0.3


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite", lease_seconds=LEASE_SECONDS) as catalog:
        yield catalog


@pytest.fixture
def claim(tmp_path: Path, catalog: Catalog) -> JobRow:
    with Catalog(tmp_path / "catalog.sqlite", clock=Clock()) as early:
        job_in(early, early.now, JobState.QUEUED)
    claim = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
    assert claim is not None
    return claim


def test_a_claim_is_kept_for_as_long_as_its_block_lasts(catalog: Catalog, claim: JobRow) -> None:
    first = claim.claimed_until
    assert first is not None
    with catalog.hold(claim, patience_seconds=60) as lease:
        wait_until(lambda: catalog.now() > first, seconds=10, what="the first lease to pass")
        assert catalog.sweep_leases() == 0
        assert not lease.lost

    wait_until(lambda: catalog.sweep_leases() == 1, seconds=10, what="the claim to run out after its block")
    assert catalog.get_job(claim.id).state is JobState.QUEUED


def test_a_block_that_hangs_loses_its_claim(catalog: Catalog, claim: JobRow) -> None:
    with catalog.hold(claim, patience_seconds=0.2) as lease:
        wait_until(lambda: lease.lost, seconds=10, what="the lease to notice the silence")
        assert lease.silent
        wait_until(lambda: catalog.sweep_leases() == 1, seconds=10, what="the sweep to give the job back")


def test_signs_of_life_keep_the_claim(catalog: Catalog, claim: JobRow) -> None:
    first = claim.claimed_until
    assert first is not None
    with catalog.hold(claim, patience_seconds=0.5) as lease:

        def later() -> bool:
            lease.beat()
            return (catalog.now() - first).total_seconds() > 1.0

        wait_until(later, seconds=10, what="twice the patience to pass")
        assert not lease.lost


def test_a_cancelled_job_is_noticed(catalog: Catalog, claim: JobRow) -> None:
    with catalog.hold(claim, patience_seconds=60) as lease:
        catalog.cancel_job(claim.id)
        wait_until(lambda: lease.lost, seconds=10, what="the lease to notice the cancellation")
