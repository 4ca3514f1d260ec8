"""So many attempts in so much time, by key."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

_MOST_KEYS = 10_000


class Throttle:
    """Counts attempts; safe from several threads, with bounded memory: beyond `_MOST_KEYS` the oldest key is forgotten.

    Parameters
    ----------
    most
        Attempts of one key within ``seconds``.
    clock
        Gives seconds that only run forwards.
    """

    def __init__(self, *, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def enter(self, key: str) -> bool:
        """Count an attempt; False if there were too many, which is not counted again."""
        now = self._clock()
        with self._lock:
            times = self._times.setdefault(key, deque())
            self._times.move_to_end(key)
            while times and times[0] <= now - self._seconds:
                times.popleft()
            if len(times) >= self._most:
                return False
            times.append(now)
            while len(self._times) > _MOST_KEYS:
                self._times.popitem(last=False)
            return True

    def forget(self, key: str) -> None:
        """What was counted of a key is settled."""
        with self._lock:
            self._times.pop(key, None)


def neighbourhood(address: str) -> str:
    """What stands for an address: of IPv6 its /64 network, as one machine has all of that."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, IPv6Address):
        return str(known.ipv4_mapped or IPv6Address(int(known) >> 64 << 64))
    return str(known)
