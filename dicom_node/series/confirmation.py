"""What the destination of ``series.confirm_with`` says about the number of images of a series.

It is asked in threads of its own, so that a peer that hangs holds up no series; one that cannot be asked is left alone for
a while, and told of once.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from functools import partial

import structlog

from dicom_node.catalog import SeriesRow
from dicom_node.series.background import Background
from dicom_node.series.silence import heard_of
from s2ldm_core.problem import Problem, ProblemError

#: Study and Series Instance UID to the number of images.
Count = Callable[[str, str], int]

_FIRST_AGAIN_SECONDS = 1.0
_LONGEST_AGAIN_SECONDS = 15.0
#: So long a destination that cannot be asked is left alone.
_SPARED_SECONDS = 30.0


@dataclass
class _Asked:
    heard: Hashable
    attempt: int = 0
    again_at: float = 0.0
    there: int | None = None
    right_at: float | None = None


class Confirmation:
    """Asks for the number of images of series that have gone silent.

    Parameters
    ----------
    count
        Asks the destination; raises `s2ldm_core.problem.ProblemError` where it gives no answer.
    monotonic
        Seconds from any beginning.
    """

    def __init__(self, count: Count, *, monotonic: Callable[[], float]) -> None:
        self._count = count
        self._monotonic = monotonic
        self._background: Background[int | Problem] = Background("confirm")
        self._asked: dict[int, _Asked] = {}
        self._spared_until: float | None = None
        self._problem: Problem | None = None
        self._log = structlog.get_logger(part="confirm")

    @property
    def problem(self) -> Problem | None:
        """Why the destination could not be asked the last time; None if it could."""
        return self._problem

    def look(self, series: SeriesRow, *, silent_seconds: float) -> tuple[int | None, float | None]:
        """How many images the destination has, and since how many seconds that is what was received.

        None where it has not said so. When the first answer is right, it was so since the last image came; when it became
        right later, only since then.
        """
        heard, now = heard_of(series), self._monotonic()
        asked = self._asked.get(series.key)
        if asked is None or asked.heard != heard:
            asked = self._asked[series.key] = _Asked(heard)
        if asked.right_at is None and now >= asked.again_at and not self._spared(now):
            self._ask(series, asked, now=now, silent_seconds=silent_seconds)
        return asked.there, None if asked.right_at is None else now - asked.right_at

    def keep(self, keys: Collection[int]) -> None:
        """Forget every other series."""
        self._asked = {key: asked for key, asked in self._asked.items() if key in keys}
        self._background.keep(keys)

    def _ask(self, series: SeriesRow, asked: _Asked, *, now: float, silent_seconds: float) -> None:
        question = partial(self._answer, series.study_instance_uid, series.series_instance_uid)
        answer = self._background.ask(series.key, (asked.heard, asked.attempt), question)
        if answer is None:
            return
        if isinstance(answer, Problem):
            self._failed(answer, now)
        else:
            self._answered()
            asked.there = answer
            if answer == series.instance_count:
                asked.right_at = now if asked.attempt else now - silent_seconds
                return
        asked.again_at = now + min(_FIRST_AGAIN_SECONDS * 2.0 ** min(asked.attempt, 8), _LONGEST_AGAIN_SECONDS)
        asked.attempt += 1

    def _answer(self, study_instance_uid: str, series_instance_uid: str) -> int | Problem:
        try:
            return self._count(study_instance_uid, series_instance_uid)
        except ProblemError as error:
            return error.problem

    def _spared(self, now: float) -> bool:
        return self._spared_until is not None and now < self._spared_until

    def _failed(self, problem: Problem, now: float) -> None:
        if self._problem is None:
            self._log.warning("confirm_with_unusable", code=problem.code)
        self._problem, self._spared_until = problem, now + _SPARED_SECONDS

    def _answered(self) -> None:
        if self._problem is not None:
            self._log.info("confirm_with_usable_again")
        self._problem = self._spared_until = None
