"""Associations of several processes that have asked: so many at the same time, for all of them together."""

import fcntl
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.reduction import DupFd
from typing import Any

# struct flock of Linux on 64 bits (fcntl(2)): type, whence, start, length, process.
_FLOCK = struct.Struct("@hhqqi4x")


class SharedPlaces:
    """Places as `dicom_node.streaming.waiting.Places`, handed to other processes when they are spawned.

    A place is a byte of a file that nobody else sees, and who takes it locks that byte. The system gives a process' locks
    back when it ends, however it ends, so a listener that was killed keeps no place, and no process waits for another.

    Parameters
    ----------
    count
        How many there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        with tempfile.TemporaryFile() as file:
            self._descriptor = os.dup(file.fileno())
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

    def take(self, one: object, *, spare: int = 0) -> bool:
        """Take a place; False if fewer than ``spare`` would be left."""
        with self._lock:
            own = set(self._taken.values())
            others = set(self._of_others())
            if len(own) + len(others) + spare >= self._count:
                return False
            for place in range(self._count):
                if place not in own and place not in others and self._is_locked_now(place):
                    self._taken[one] = place
                    return True
            return False  # others were quicker

    def give(self, one: object) -> None:
        """Give a place back, if it has one."""
        with self._lock:
            place = self._taken.pop(one, None)
            if place is not None:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        """Nobody takes one any more; gives back those of this process."""
        os.close(self._descriptor)

    def _is_locked_now(self, place: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _of_others(self) -> Iterator[int]:
        """The places that other processes have; a process' own locks are none to itself."""
        start = 0
        while start < self._count:
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, self._count - start, 0)
            kind, _, begins, length, _ = _FLOCK.unpack(fcntl.fcntl(self._descriptor, fcntl.F_GETLK, asked))
            if kind == fcntl.F_UNLCK:
                return
            begins = max(begins, start)
            yield from range(begins, min(begins + length, self._count))
            start = begins + length
