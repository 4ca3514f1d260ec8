"""Step loops: work until there is none, wait to be woken, outlive faults."""

import threading
from collections.abc import Callable, Iterator

import pytest

from dicom_node.service import loop
from dicom_node.service.loop import StepLoop

SECONDS = 10.0


class Step:
    """A step that does what each call's entry says; an event is set when all are used up."""

    def __init__(self, *script: bool | Exception) -> None:
        self._script = list(script)
        self.used_up = threading.Event()
        self.calls = 0

    def run_once(self) -> bool:
        self.calls += 1
        if not self._script:
            self.used_up.set()
            return False
        now = self._script.pop(0)
        if isinstance(now, Exception):
            raise now
        return now


@pytest.fixture
def start() -> Iterator[Callable[..., StepLoop]]:
    loops = []

    def run(step: Step, **options: object) -> StepLoop:
        made = StepLoop("step", step, poll_seconds=3600, **options)
        loops.append(made)
        made.start()
        return made

    yield run
    for one in loops:
        one.stop()
        assert one.join(SECONDS)


def test_works_without_waiting_while_there_is_work(start: Callable[..., StepLoop]) -> None:
    step = Step(True, True, True)

    start(step)

    assert step.used_up.wait(SECONDS)
    assert step.calls == 4


def test_wake_makes_it_look_again(start: Callable[..., StepLoop]) -> None:
    step = Step(False)
    running = start(step)

    running.wake()

    assert step.used_up.wait(SECONDS)


def test_reports_every_piece_of_work(start: Callable[..., StepLoop]) -> None:
    seen: list[str] = []
    step = Step(True, True)

    start(step, on_work=lambda name, _seconds: seen.append(name))

    assert step.used_up.wait(SECONDS)
    assert seen == ["step", "step"]


def test_outlives_a_fault(start: Callable[..., StepLoop], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_FAULT_WAIT_SECONDS", 0.0)
    step = Step(OSError("disk full"), True)

    running = start(step)

    assert step.used_up.wait(SECONDS)
    assert running.fault is None


def test_says_what_fault_it_is_in(start: Callable[..., StepLoop]) -> None:
    failed = threading.Event()

    class Broken(Step):
        def run_once(self) -> bool:
            try:
                raise OSError("disk full")
            finally:
                failed.set()

    running = start(Broken())
    assert failed.wait(SECONDS)

    deadline = threading.Event()
    while running.fault is None and not deadline.wait(0.01):
        pass

    assert running.fault == "OSError"
