"""Places that several processes share: so many at the same time, for all of them together, and for each party."""

import fcntl
import hashlib
import os
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.reduction import DupFd
from typing import Any, TypeVar

from dicom_node.streaming.places import Occupancy, objection_to

_Objection = TypeVar("_Objection")

# struct flock of Linux on 64 bits (fcntl(2)): type, whence, start, length, process.
_FLOCK = struct.Struct("@hhqqi4x")
#: Of the digest that stands for a party.
_LABEL_BYTES = 16


class SharedPlaces:
    """Places as `dicom_node.streaming.places.Places`, handed to other processes when they are spawned.

    A place is a byte of a file in memory that nobody else sees, and who takes it locks that byte. The system gives a
    process' locks back when it ends, however it ends, so a listener that was killed keeps no place. Whose a place is
    stands in the file, and counts while the byte is locked. One more byte is locked by who looks and takes, so that no
    two take what only one may have; it is given back in the same way, and nothing is waited for that takes time.

    Parameters
    ----------
    count
        How many there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._descriptor = os.memfd_create("places")
        self._prepare()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: its own descriptor of the same file."""
        return {"count": self._count, "descriptor": DupFd(self._descriptor)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In the other process, which has taken none."""
        self._count, self._descriptor = state["count"], state["descriptor"].detach()
        self._prepare()

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[object, int] = {}

    def take(
        self, one: object, party: str, *, object_to: Callable[[Occupancy], _Objection | None]
    ) -> _Objection | None:
        """Take a place for a party, unless there is an objection to it, which is handed back.

        ``object_to`` is shown what is taken, and nobody takes a place before it has answered: it must not take long.
        """
        with self._lock, self._alone():
            taken = {*self._taken.values(), *self._of_others()}
            labels = os.pread(self._descriptor, self._count * _LABEL_BYTES, 0)
            by_party = Counter(labels[place * _LABEL_BYTES : (place + 1) * _LABEL_BYTES] for place in taken)
            occupancy = Occupancy(
                count=self._count,
                left=self._count - len(taken),
                of=lambda party: by_party[_label(party)],
            )
            objection = objection_to(occupancy, object_to)
            if objection is None:
                place = next(place for place in range(self._count) if place not in taken)
                os.pwrite(self._descriptor, _label(party), place * _LABEL_BYTES)
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                self._taken[one] = place
            return objection

    def give(self, one: object) -> None:
        """Give a place back, if it has one."""
        with self._lock:
            place = self._taken.pop(one, None)
            if place is not None:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        """Nobody takes one any more; gives back those of this process."""
        os.close(self._descriptor)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from taking a place; their threads wait at a lock of their own."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, self._count)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, self._count)

    def _of_others(self) -> Iterator[int]:
        """The places that other processes have; a process' own locks are none to itself."""
        asked = [(0, self._count)]
        while asked:
            start, end = asked.pop()
            question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
            kind, _, begins, length, _ = _FLOCK.unpack(fcntl.fcntl(self._descriptor, fcntl.F_GETLK, question))
            if kind == fcntl.F_UNLCK:
                continue
            # One lock within, by process and not by place: others may lie on both sides of it.
            first, after = max(begins, start), min(begins + length, end)
            yield from range(first, after)
            asked += [(one, other) for one, other in ((start, first), (after, end)) if one < other]


def _label(party: str) -> bytes:
    return hashlib.blake2b(party.encode(), digest_size=_LABEL_BYTES).digest()
