"""The time of day as the database has it, so that nodes whose own clocks differ agree on when a claim runs out."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: Between two looks at the database's clock the time passes by this process' monotonic clock, which drifts by less than
#: a hundredth of a second meanwhile.
_LOOK_SECONDS = 10.0


class DatabaseClock:
    """Called, it gives the time of day. ``monotonic`` gives seconds from any beginning."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        """The time of day (UTC); this machine's as long as the database's is not known."""
        seen = self._seen
        if seen is None:
            return datetime.now(UTC)
        return seen[0] + timedelta(seconds=self._monotonic() - seen[1])

    def look(self, ask: Callable[[], datetime | None]) -> None:
        """Ask for the database's time, unless that was done a moment ago; None: it has none."""
        seen = self._seen
        if (seen is not None and self._monotonic() - seen[1] < _LOOK_SECONDS) or not self._lock.acquire(blocking=False):
            return
        try:
            asked = self._monotonic()
            moment = ask()
            if moment is not None:
                # The answer is as old as half the way there and back.
                self._seen = moment, (asked + self._monotonic()) / 2
        finally:
            self._lock.release()
