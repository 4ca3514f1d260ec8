"""Judging answers, backing off, breaking the circuit, and what the deliver step records."""

from datetime import UTC, datetime, timedelta

import pytest

from dicom_node.catalog import Verdict
from dicom_node.deliver.destinations.dicom.status import status_sentence, verdict
from dicom_node.deliver.retry import CircuitBreaker, backoff_seconds

NOW = datetime(2024, 1, 1, tzinfo=UTC)
PACE = {"first_seconds": 10.0, "longest_seconds": 100.0}


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB006, 0xB007])
def test_success_and_warnings_are_accepted(status: int) -> None:
    assert verdict(status) is Verdict.ACCEPTED


def test_a_duplicate_is_accepted_because_derived_uids_stand_for_one_content() -> None:
    assert verdict(0x0111) is Verdict.ACCEPTED


@pytest.mark.parametrize("status", [None, 0xA700, 0xA702, 0xA7FF, 0x0110, 0x0213])
def test_no_answer_and_want_of_resources_may_pass(status: int | None) -> None:
    assert verdict(status) is Verdict.RETRIABLE


@pytest.mark.parametrize("status", [0xA900, 0xA9FF, 0xC000, 0xC123, 0x0122, 0x0124, 0xFE00])
def test_refusals_are_permanent(status: int) -> None:
    assert verdict(status) is Verdict.PERMANENT


def test_a_failure_is_named_with_its_number() -> None:
    assert status_sentence(0xA900) == "does not take objects of this SOP class (status 0xA900)"


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 10.0), (2, 20.0), (3, 40.0), (4, 80.0), (5, 100.0), (2000, 100.0)]
)
def test_backoff_doubles_up_to_its_limit(attempts: int, seconds: float) -> None:
    assert backoff_seconds(attempts, **PACE, uniform=lambda _low, high: high) == seconds
    assert backoff_seconds(attempts, **PACE, uniform=lambda low, _high: low) == seconds / 2


def test_circuit_opens_after_the_threshold_only() -> None:
    breaker = CircuitBreaker(threshold=3)
    for _ in range(2):
        breaker.failed("pacs", now=NOW, **PACE)
    assert breaker.open_destinations(NOW) == frozenset()
    breaker.failed("pacs", now=NOW, **PACE)
    assert breaker.open_destinations(NOW) == {"pacs"}


def test_circuit_lets_a_probe_through_after_its_pause_and_pauses_longer_when_that_fails() -> None:
    breaker = CircuitBreaker(threshold=1)
    breaker.failed("pacs", now=NOW, **PACE)
    later = NOW + timedelta(seconds=10)
    assert breaker.open_destinations(later) == frozenset()
    breaker.failed("pacs", now=later, **PACE)
    assert breaker.open_destinations(later + timedelta(seconds=9.9)) == {"pacs"}


def test_an_answer_closes_the_circuit() -> None:
    breaker = CircuitBreaker(threshold=1)
    breaker.failed("pacs", now=NOW, **PACE)
    breaker.succeeded("pacs")
    assert breaker.open_destinations(NOW) == frozenset()


def test_circuits_are_kept_apart() -> None:
    breaker = CircuitBreaker(threshold=1)
    breaker.failed("pacs", now=NOW, **PACE)
    assert "archive" not in breaker.open_destinations(NOW)
