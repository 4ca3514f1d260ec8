"""A step in a thread of its own: works while there is work, then waits to be woken."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

import structlog

_FAULT_WAIT_SECONDS = 5.0


class Step(Protocol):
    """One step of a series' way."""

    def run_once(self) -> bool:
        """Do one piece of work; False if there was none."""


class StepLoop:
    """Runs one step again and again.

    A step records the failure of a job itself; what it still raises (the catalog is gone, the disk is full) is logged,
    and the loop goes on after a pause, because such causes pass.

    Parameters
    ----------
    poll_seconds
        How long to wait for a wake-up before looking anyway: work may come from another process or fall due.
    on_work
        Called with the seconds it took after every piece of work.
    """

    def __init__(
        self,
        name: str,
        step: Step,
        *,
        poll_seconds: float = 1.0,
        on_work: Callable[[str, float], None] | None = None,
    ) -> None:
        self.name = name
        self._step = step
        self._poll_seconds = poll_seconds
        self._on_work = on_work or (lambda _name, _seconds: None)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"step-{name}", daemon=True)
        self._log = structlog.get_logger(step=name)

    @property
    def fault(self) -> str | None:
        """Why the step cannot work at present; None if it can."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stopping.is_set():
            return "its thread has ended"
        return self._fault

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There may be work."""
        self._wake.set()

    def stop(self) -> None:
        """Ask the loop to end after the piece of work at hand."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; False if it has not come."""
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            began = time.monotonic()
            try:
                worked = self._step.run_once()
                self._fault = None
            except Exception as error:  # noqa: BLE001 (the loop must outlive any fault; it is logged and shown by /readyz)
                self._fault = type(error).__name__
                self._log.error("step_fault", error=type(error).__name__, exc_info=True)
                self._stopping.wait(_FAULT_WAIT_SECONDS)
                continue
            if worked:
                self._on_work(self.name, time.monotonic() - began)
            else:
                self._wake.wait(self._poll_seconds)
