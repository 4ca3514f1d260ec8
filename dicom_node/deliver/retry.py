"""When to try again: exponential backoff with jitter, and a circuit breaker per destination."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


def backoff_seconds(
    attempts: int,
    *,
    first_seconds: float,
    longest_seconds: float,
    uniform: Callable[[float, float], float] | None = None,
) -> float:
    """Seconds until the next try after ``attempts`` failed ones (1 or more).

    Doubles from ``first_seconds`` to ``longest_seconds``; the upper half is drawn at random, so that deliveries that
    failed together do not come back together.
    """
    delay = min(longest_seconds, first_seconds * 2.0 ** min(attempts - 1, 62))
    return (uniform or random.uniform)(0.5 * delay, delay)


@dataclass
class _Circuit:
    failures: int = 0
    open_until: datetime | None = None


class CircuitBreaker:
    """Spares a destination that does not answer, and its deliveries' attempts.

    After ``threshold`` failed connections in a row the destination is left alone for its backoff; then one delivery
    probes it. Any answer closes the circuit. Thread-safe; kept in memory only, so a restart probes afresh.
    """

    def __init__(self, *, threshold: int = 3) -> None:
        self._threshold = threshold
        self._circuits: dict[str, _Circuit] = {}
        self._lock = threading.Lock()

    def open_destinations(self, now: datetime) -> frozenset[str]:
        """Destinations to leave alone at ``now``."""
        with self._lock:
            return frozenset(
                name for name, one in self._circuits.items() if one.open_until is not None and now < one.open_until
            )

    def succeeded(self, destination: str) -> None:
        """The destination answered, well or badly."""
        with self._lock:
            self._circuits.pop(destination, None)

    def failed(self, destination: str, *, now: datetime, first_seconds: float, longest_seconds: float) -> None:
        """The destination could not be reached or did not answer."""
        with self._lock:
            circuit = self._circuits.setdefault(destination, _Circuit())
            circuit.failures += 1
            if circuit.failures >= self._threshold:
                pause = backoff_seconds(
                    circuit.failures - self._threshold + 1,
                    first_seconds=first_seconds,
                    longest_seconds=longest_seconds,
                )
                circuit.open_until = now + timedelta(seconds=pause)
