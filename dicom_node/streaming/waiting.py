"""Connections that have asked for nothing yet: few for each address, and the oldest are cut first.

A sender asks for its association as soon as it is connected. What stays silent is a scan, a fault or an attack, and
must not take the places of associations, nor those of other addresses.
"""

import threading
from collections import Counter
from typing import Protocol

#: Connections of one address, and of all, that may be silent at the same time.
PER_ADDRESS, IN_ALL = 16, 128


class Waiting(Protocol):
    """A connection that has asked for nothing yet."""

    def cut(self) -> None:
        """Close it."""


class WaitingRoom:
    """Holds those that wait, by address, in the order in which they came. For use from several threads."""

    def __init__(self, *, per_address: int = PER_ADDRESS, in_all: int = IN_ALL) -> None:
        self._per_address, self._in_all = per_address, in_all
        self._lock = threading.Lock()
        self._waiting: dict[Waiting, str] = {}

    def enter(self, one: Waiting, address: str) -> None:
        """Let one wait; where there are too many of its address, the oldest of them is cut, else where too many of all
        the oldest of the address that has most."""
        with self._lock:
            self._waiting[one] = address
            counts = Counter(self._waiting.values())
            crowded = None
            if counts[address] > self._per_address:
                crowded = address
            elif len(self._waiting) > self._in_all:
                ((crowded, _),) = counts.most_common(1)
            oldest = next((other for other, place in self._waiting.items() if place == crowded), None)
            if oldest is not None:
                del self._waiting[oldest]
        if oldest is not None:
            oldest.cut()

    def leave(self, one: Waiting) -> None:
        """It has asked, or is gone."""
        with self._lock:
            self._waiting.pop(one, None)
