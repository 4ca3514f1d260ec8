"""Work that comes again and again: each timer runs one step, and says when it cannot."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from dicom_node.privacy import place_of
from dicom_node.service.loop import Step

#: A timer's run that takes longer hangs. Retention of many files, the slowest, takes minutes.
_HANGS_SECONDS = 1800.0
#: Of a timer that fails again and again, so often the log speaks.
_LOG_AGAIN_SECONDS = 60.0


class Timers:
    """Timers, each of which comes again whatever happened the last time.

    Parameters
    ----------
    on_work
        Called after a run that did something.
    """

    def __init__(self, *, on_work: Callable[[], None]) -> None:
        self._on_work = on_work
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._timers: list[Timer] = []

    def add(self, name: str, step: Step, *, seconds: float) -> None:
        """Run ``step`` every ``seconds`` from `start` on; one run at a time."""
        timer = Timer(name, step, on_work=self._on_work)
        self._timers.append(timer)
        self._scheduler.add_job(
            timer.run, "interval", seconds=seconds, id=name, max_instances=1, coalesce=True, misfire_grace_time=None
        )

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def run_now(self, name: str) -> None:
        """Have a timer come now; if it is at work, when it has ended."""
        if self._scheduler.running:
            self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))

    def stop(self) -> None:
        """End, after the runs at hand."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def fault(self) -> str | None:
        """Why a timer cannot work at present; None if all can."""
        if not self._scheduler.running:
            return "the timers do not run"
        return "; ".join(f"{one.name}: {fault}" for one in self._timers if (fault := one.fault)) or None


class Timer:
    """One timer. ``monotonic`` gives seconds from any beginning."""

    def __init__(
        self, name: str, step: Step, *, on_work: Callable[[], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._step, self._on_work, self._monotonic = step, on_work, monotonic
        self._lock = threading.Lock()
        self._began: float | None = None
        self._fault: str | None = None
        self._logged_at: float | None = None
        self._log = structlog.get_logger(timer=name)

    @property
    def fault(self) -> str | None:
        """What the last run ended with, or that this one does not end; None if all is well."""
        with self._lock:
            began, fault = self._began, self._fault
        if began is not None and self._monotonic() - began > _HANGS_SECONDS:
            return f"has been running for more than {_HANGS_SECONDS:.0f} seconds"
        return fault

    def run(self) -> None:
        """Run the step once; what it raises is logged, without a message that might quote values, and shown by `fault`."""
        self._note(began=self._monotonic(), fault=self._fault)
        try:
            worked = self._step.run_once()
        except Exception as error:  # noqa: BLE001 (a timer must come again whatever happened; it is logged and shown)
            self._note(began=None, fault=f"{type(error).__name__} at {place_of(error)}")
            now = self._monotonic()
            if self._logged_at is None or now - self._logged_at >= _LOG_AGAIN_SECONDS:
                self._logged_at = now
                self._log.error("timer_fault", error=type(error).__name__, at=place_of(error), exc_info=True)
            return
        self._note(began=None, fault=None)
        self._logged_at = None
        if worked:
            self._on_work()

    def _note(self, *, began: float | None, fault: str | None) -> None:
        with self._lock:
            self._began, self._fault = began, fault
