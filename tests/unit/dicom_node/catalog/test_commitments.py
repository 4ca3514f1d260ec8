"""What the catalog remembers of storage commitment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, DeliveryRow, DeliveryState, JobState, Verdict
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock, job_in

WAITS = Problem("commitment_awaited", "It has yet to say so.", "")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(tmp_path: Path, clock: Clock) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite", clock=clock) as catalog:
        yield catalog


@pytest.fixture
def sent(catalog: Catalog, clock: Clock) -> DeliveryRow:
    """A delivery whose three images were accepted."""
    job_in(catalog, clock, JobState.DELIVERING)
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    for one in catalog.delivery_instances(delivery.id):
        catalog.set_answer(delivery, one.sop_instance_uid, Verdict.ACCEPTED, status=0)
    return delivery


def test_answer_that_is_quicker_than_the_record_of_waiting_leaves_the_delivery_due(
    catalog: Catalog, clock: Clock, sent: DeliveryRow
) -> None:
    uids = [uid for _, uid in catalog.uncommitted(sent.id)]
    assert catalog.begin_commitment(sent, "2.25.1", answer_by=clock())
    assert catalog.take_commitment("2.25.1", committed=uids, failed={})
    assert catalog.await_commitment(sent, "2.25.1", reason=WAITS)
    waiting = catalog.get_delivery(sent.id)
    assert (waiting.state, waiting.not_before) == (DeliveryState.PENDING, None)
    assert catalog.uncommitted(sent.id) == []


def test_what_a_lost_claim_asks_is_not_recorded(catalog: Catalog, clock: Clock, sent: DeliveryRow) -> None:
    catalog.release(sent)
    assert not catalog.begin_commitment(sent, "2.25.1", answer_by=clock())
    assert catalog.last_commitment(sent.id) is None
    assert not catalog.take_commitment("2.25.1", committed=(), failed={})


def test_uids_of_others_in_an_answer_are_passed_over(catalog: Catalog, clock: Clock, sent: DeliveryRow) -> None:
    catalog.begin_commitment(sent, "2.25.1", answer_by=clock())
    assert catalog.take_commitment("2.25.1", committed=["1.2.3"], failed={"1.2.4": 0x0112})
    assert len(catalog.uncommitted(sent.id)) == 3
    last = catalog.last_commitment(sent.id)
    assert last is not None
    assert (last.failed_count, last.failure) == (0, None)
    assert catalog.get_delivery(sent.id).accepted_count == 3
