"""A destination's answers on their way into the catalog, several in one transaction."""

import time
from collections.abc import Callable, Sequence

from dicom_node.catalog import InstanceAnswer
from dicom_node.deliver.destinations import Answer

#: What was answered within so long before a kill is sent again; a receiver knows the instances by their UIDs.
_SECONDS = 0.25


class AnswerLog:
    """Collects answers and hands them on a few times a second: to bring each to disk takes as long as to send one.

    The first, and one after a pause, goes at once. Whoever sends calls `flush` at the end, whatever that is.

    Parameters
    ----------
    record
        Brings answers to disk; False if the delivery is no longer the caller's.
    clock
        Seconds that never go back.
    """

    def __init__(
        self, record: Callable[[Sequence[InstanceAnswer]], bool], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._record = record
        self._clock = clock
        self._waiting: list[InstanceAnswer] = []
        self._recorded_at = float("-inf")
        self.lost = False
        """Whether the delivery was found to be no longer the caller's."""

    def add(self, answer: Answer) -> None:
        self._waiting.append(
            InstanceAnswer(
                sop_instance_uid=answer.sop_instance_uid,
                verdict=answer.verdict,
                status=answer.status,
                comment=answer.comment,
            )
        )
        if self._clock() - self._recorded_at >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.lost |= not self._record(waiting)
            self._recorded_at = self._clock()
