"""Work that stalls: due for long, and its step has done nothing for as long."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime


class StallWatch:
    """Tells from the oldest piece of work of each step whether the step still works.

    Age alone proves nothing, as a long queue is old, too; nor does a step that is idle.

    Parameters
    ----------
    limits_seconds
        By step: how long work may be due while the step has done none.
    oldest_due
        Since when the oldest piece of work has been due, by step.
    now, monotonic
        The time of day, and seconds from any beginning.
    """

    def __init__(
        self,
        limits_seconds: Mapping[str, float],
        *,
        oldest_due: Callable[[], Mapping[str, datetime]],
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits_seconds = limits_seconds
        self._oldest_due, self._now, self._monotonic = oldest_due, now, monotonic
        self._lock = threading.Lock()
        self._worked_at = dict.fromkeys(limits_seconds, monotonic())

    def worked(self, step: str) -> None:
        """A step did a piece of work."""
        with self._lock:
            self._worked_at[step] = self._monotonic()

    def problem(self) -> str | None:
        """Which steps stall, and for how long their oldest work has been waiting; None if none does."""
        now, oldest = self._now(), self._oldest_due()
        with self._lock:
            idle = {step: self._monotonic() - at for step, at in self._worked_at.items()}
        ages = {step: (now - since).total_seconds() for step, since in oldest.items()}
        stalled = [
            f"{step}: work has been waiting for {ages[step]:.0f} s"
            for step, limit in self._limits_seconds.items()
            if min(ages.get(step, 0.0), idle[step]) > limit
        ]
        return "; ".join(stalled) or None
