"""Timers that fail or hang, and work that stalls, are seen."""

import pytest

from dicom_node.service.stalls import StallWatch
from dicom_node.service.timers import Timer
from tests.catalog_jobs import Clock


class Step:
    def __init__(self) -> None:
        self.error: Exception | None = None

    def run_once(self) -> bool:
        if self.error is not None:
            raise self.error
        return True


def test_timer_that_fails_says_so_until_it_works_again() -> None:
    step, worked = Step(), []
    timer = Timer("sweep", step, on_work=lambda: worked.append(1))
    step.error = ValueError("patient's name")

    timer.run()
    assert timer.fault is not None
    assert timer.fault.startswith("ValueError at test_stalls.py:")
    assert "patient" not in timer.fault

    step.error = None
    timer.run()
    assert timer.fault is None
    assert worked == [1]


def test_timer_that_hangs_says_so() -> None:
    clock, seen = Clock(), []

    class Hanging:
        def run_once(self) -> bool:
            clock.advance(1801)
            seen.append(timer.fault)
            return False

    timer = Timer("sweep", Hanging(), on_work=lambda: None, monotonic=clock.monotonic)
    timer.run()

    assert seen == ["has been running for more than 1800 seconds"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_work_that_waits_while_its_step_does_none_stalls(clock: Clock) -> None:
    began = clock()
    watch = StallWatch({"select": 60.0}, oldest_due=lambda: {"select": began}, now=clock, monotonic=clock.monotonic)
    clock.advance(59)
    assert watch.problem() is None

    clock.advance(2)
    assert watch.problem() == "select: work has been waiting for 61 s"


def test_long_queue_that_is_worked_on_does_not_stall(clock: Clock) -> None:
    began = clock()
    watch = StallWatch({"select": 60.0}, oldest_due=lambda: {"select": began}, now=clock, monotonic=clock.monotonic)
    for _ in range(5):
        clock.advance(50)
        watch.worked("select")

    assert watch.problem() is None


def test_step_without_work_does_not_stall(clock: Clock) -> None:
    watch = StallWatch({"select": 60.0}, oldest_due=dict, now=clock, monotonic=clock.monotonic)
    clock.advance(3600)

    assert watch.problem() is None
