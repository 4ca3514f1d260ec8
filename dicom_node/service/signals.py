"""Signals from whoever runs the process."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: How long a signal may wait.
_LOOK_SECONDS = 0.25


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn SIGTERM and SIGINT into an event; call from the main thread, before the node starts.

    A signal that comes while the node is starting then stops it in order, too.
    """
    with _event_of(signal.SIGTERM, signal.SIGINT) as asked:
        yield asked


@contextmanager
def hang_ups() -> Iterator[threading.Event]:
    """Turn SIGHUP, which would end the process, into an event; likewise."""
    with _event_of(signal.SIGHUP) as asked:
        yield asked


def wait_for(asked: threading.Event, *, hung_up: threading.Event, reload: Callable[[], None]) -> None:
    """Block until ``asked`` is set; ``reload`` whenever ``hung_up`` is.

    An untimed wait could not be interrupted by a signal on every platform.
    """
    while not asked.wait(_LOOK_SECONDS):
        if hung_up.is_set():
            hung_up.clear()
            reload()


@contextmanager
def _event_of(*numbers: signal.Signals) -> Iterator[threading.Event]:
    asked = threading.Event()
    before = {number: signal.signal(number, lambda _number, _frame: asked.set()) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
