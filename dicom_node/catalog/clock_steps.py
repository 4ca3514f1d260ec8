"""Steps of the clock: by how much the time of day moved more, or less, than time passed."""

from collections.abc import Callable
from datetime import datetime, timedelta

#: Less is a clock that is being adjusted slowly, and smaller than what any lease or wait is about.
_NOTICED = timedelta(seconds=1)


class ClockSteps:
    """Compares two clocks from one look to the next.

    Parameters
    ----------
    now
        The time of day, which may be stepped forwards and backwards.
    monotonic
        Seconds that only run forwards.
    """

    def __init__(self, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._now, self._monotonic = now, monotonic
        self._last: tuple[datetime, float] | None = None

    def since_last_look(self) -> timedelta:
        """How far the time of day was stepped; zero when it was not, and at the first look."""
        now, monotonic = self._now(), self._monotonic()
        last, self._last = self._last, (now, monotonic)
        if last is None:
            return timedelta()
        step = (now - last[0]) - timedelta(seconds=monotonic - last[1])
        return step if abs(step) >= _NOTICED else timedelta()
