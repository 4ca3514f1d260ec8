"""What the catalog remembers of storage commitment."""

from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, CommitmentState, DeliveryRow, DeliveryState, JobState, Verdict
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock, answer, job_in, run_out

WAITS = Problem("commitment_awaited", "It has yet to say so.", "")


@pytest.fixture
def sent(catalog: Catalog, clock: Clock) -> DeliveryRow:
    """A delivery whose three images were accepted."""
    job_in(catalog, clock, JobState.DELIVERING)
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    for one in catalog.delivery_instances(delivery.id):
        answer(catalog, delivery, one.sop_instance_uid, Verdict.ACCEPTED, status=0)
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


def add_request(catalog: Catalog, transaction_uid: str = "2.25.7") -> int:
    wanted = [("1.2.840.10008.5.1.4.1.1.2", "1.2.3.0")]
    return catalog.add_commitment_request(
        transaction_uid, wanted, calling_ae="SCANNER", called_ae="CECT_ART", peer="127.0.0.1"
    )


def test_request_is_due_until_it_is_claimed_and_again_when_the_claim_runs_out(catalog: Catalog, clock: Clock) -> None:
    add_request(catalog)
    assert catalog.oldest_due() == {"commit": clock()}
    claim = catalog.claim_commitment_request()
    assert claim is not None
    assert (claim.state, catalog.oldest_due()) == (CommitmentState.TELLING, {})
    assert catalog.claim_commitment_request() is None
    run_out(catalog, clock)
    again = catalog.claim_commitment_request()
    assert again is not None
    assert again.id == claim.id
    assert not catalog.renew(claim), "the claim is another's"
    assert catalog.renew(again)


def test_requests_that_ended_are_forgotten_with_what_they_name(catalog: Catalog, clock: Clock) -> None:
    over, waiting = add_request(catalog), add_request(catalog, "2.25.8")
    catalog.finish_commitment_request(over)
    clock.advance(60)
    catalog.forget_commitment_requests(clock())
    assert [one.id for one in catalog.list_commitment_requests()] == [waiting]
    assert catalog.requested_instances(over) == []
    assert catalog.open_commitment_requests() == 1


def test_request_that_waits_follows_a_step_of_the_clock(tmp_path: Path, clock: Clock) -> None:
    with Catalog(tmp_path / "steps.sqlite", clock=clock, monotonic=clock.monotonic) as catalog:
        catalog.sweep_leases()
        catalog.retry_commitment_request(add_request(catalog), at=clock())
        clock.step(-3600)
        assert catalog.claim_commitment_request() is None
        catalog.sweep_leases()
        assert catalog.claim_commitment_request() is not None
