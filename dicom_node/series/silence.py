"""How long nothing has come of a series, by a clock that only runs forwards.

The catalog holds times of day, and those may be stepped while a series is being received. So they say only whether
something has come; how long ago is measured from when this process first saw it. A node that starts again measures
anew: while it was down it could not hear, so that silence proves nothing.
"""

from collections.abc import Callable, Hashable, Sequence

from dicom_node.catalog import SeriesRow


def heard_of(series: SeriesRow) -> Hashable:
    """A value that is another one whenever something of the series has come."""
    return series.last_received_at, series.instance_count, series.conflict_count


class Silence:
    """Watches series while they are received. ``monotonic`` gives seconds from any beginning."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._heard: dict[int, tuple[Hashable, float]] = {}

    def watch(self, receiving: Sequence[SeriesRow]) -> dict[int, float]:
        """Seconds since something was seen to come of each series, by key; whatever is not named is forgotten."""
        now = self._monotonic()
        before, self._heard = self._heard, {}
        for series in receiving:
            heard = heard_of(series)
            known, since = before.get(series.key, (None, now))
            self._heard[series.key] = (heard, since if known == heard else now)
        return {key: now - since for key, (_, since) in self._heard.items()}
