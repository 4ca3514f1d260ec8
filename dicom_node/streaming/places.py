"""Associations that have asked: so many at the same time, and how many of them each party has."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

_Objection = TypeVar("_Objection")


@dataclass(frozen=True, kw_only=True)
class Occupancy:
    """What is taken of the places at a moment.

    Attributes
    ----------
    count
        How many there are.
    left
        Those that nobody has.
    of
        Tells how many a party has.
    """

    count: int
    left: int
    of: Callable[[str], int]


def objection_to(occupancy: Occupancy, object_to: Callable[[Occupancy], _Objection | None]) -> _Objection | None:
    """What ``object_to`` says against one more; it has to object where no place is left.

    Raises
    ------
    ValueError
        It does not.
    """
    objection = object_to(occupancy)
    if objection is None and occupancy.left < 1:
        raise ValueError("no place is left, and nobody objects")
    return objection


class Places:
    """Places of one process. For use from several threads.

    Parameters
    ----------
    count
        How many there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._taken: dict[object, str] = {}

    def take(
        self, one: object, party: str, *, object_to: Callable[[Occupancy], _Objection | None]
    ) -> _Objection | None:
        """Take a place for a party, unless there is an objection to it, which is handed back.

        ``object_to`` is shown what is taken, and nobody takes a place before it has answered.
        """
        with self._lock:
            by_party = Counter(self._taken.values())
            occupancy = Occupancy(count=self._count, left=self._count - len(self._taken), of=by_party.__getitem__)
            objection = objection_to(occupancy, object_to)
            if objection is None:
                self._taken[one] = party
            return objection

    def give(self, one: object) -> None:
        """Give a place back, if it has one."""
        with self._lock:
            self._taken.pop(one, None)
