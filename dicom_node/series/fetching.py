"""Having the destination of ``series.confirm_with`` send what is missing of a series (``series.fetch_missing``).

It is asked in threads of its own, some times at most: what does not come then does not come, and the series goes on without.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import structlog

from dicom_node.catalog import SeriesRow
from dicom_node.series.background import Background
from s2ldm_core.problem import Problem, ProblemError

#: Has what is missing of a series sent; given the SOP Instance UIDs that are here. Says how many images it was.
Fetch = Callable[[SeriesRow, Collection[str]], int]
#: SOP Instance UIDs that have come of a series.
Held = Callable[[SeriesRow], Collection[str]]

MOST_ATTEMPTS = 2
#: Between the end of one and the next: what was sent last may be on its way into the catalog.
_AGAIN_SECONDS = 10.0
#: One that takes longer hangs.
_LONGEST_SECONDS = 600.0


@dataclass
class _Attempts:
    count: int = 1
    began: float = 0.0
    ended: float | None = None


class Fetching:
    """Fetches what is missing of series.

    Parameters
    ----------
    fetch
        Asks the destination; raises `s2ldm_core.problem.ProblemError` where it will not send.
    held
        What has come.
    monotonic
        Seconds from any beginning.
    """

    def __init__(self, fetch: Fetch, held: Held, *, monotonic: Callable[[], float]) -> None:
        self._fetch, self._held, self._monotonic = fetch, held, monotonic
        self._background: Background[int | Problem] = Background("fetch")
        self._attempts: dict[int, _Attempts] = {}
        self._log = structlog.get_logger(part="fetch")

    def is_waited_for(self, series: SeriesRow) -> bool:
        """Whether more of a series, of which something is missing, may still come; the first question has it fetched."""
        now = self._monotonic()
        tried = self._attempts.setdefault(series.key, _Attempts(began=now))
        if tried.ended is not None and now - tried.ended < _AGAIN_SECONDS:
            return True
        if tried.ended is not None:
            if tried.count >= MOST_ATTEMPTS:
                return False
            self._attempts[series.key] = tried = _Attempts(count=tried.count + 1, began=now)
        answer = self._background.ask(series.key, tried.count, partial(self._answer, series))
        if answer is not None:
            tried.ended = now
            self._tell(series, answer)
        return answer is not None or now - tried.began < _LONGEST_SECONDS

    def keep(self, keys: Collection[int]) -> None:
        """Forget every other series."""
        self._attempts = {key: tried for key, tried in self._attempts.items() if key in keys}
        self._background.keep(keys)

    def _answer(self, series: SeriesRow) -> int | Problem:
        try:
            return self._fetch(series, self._held(series))
        except ProblemError as error:
            return error.problem

    def _tell(self, series: SeriesRow, answer: int | Problem) -> None:
        if isinstance(answer, Problem):
            self._log.warning("missing_not_fetched", series_key=series.key, code=answer.code)
        else:
            self._log.info("missing_fetched", series_key=series.key, images=answer)
