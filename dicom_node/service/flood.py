"""The same line again and again: whoever makes the node say it, known or not, must not fill the disk with it."""

import logging
import threading
import time
from collections.abc import Callable

#: So many lines of one event within so many seconds; more of them are counted only.
LINES, SECONDS = 50, 10.0
#: Events that are told apart; an event's name is the program's, so there are few, but libraries put values into theirs.
_EVENTS = 1000


class FloodFilter(logging.Filter):
    """Lets a number of records of each event pass in a time, and tells with the next how many did not (``suppressed``).

    ``monotonic`` gives seconds from any beginning.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        own = record.msg if isinstance(record.msg, dict) else None
        event = f"{record.name} {own.get('event') if own is not None else record.msg}"
        now = self._monotonic()
        with self._lock:
            began, count = self._seen.get(event, (now, 0))
            if now - began < SECONDS:
                if event not in self._seen and len(self._seen) >= _EVENTS:
                    self._seen.clear()
                self._seen[event] = (began, count + 1)
                return count < LINES
            self._seen[event] = (now, 1)
        if own is not None and count > LINES:
            own["suppressed"] = count - LINES
        return True
