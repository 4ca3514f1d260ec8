"""What a listener's process tells the node: events for the metrics, and its log."""

import logging
import os
import sys
import threading
import traceback
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from dicom_node.receive.observer import ReceiveObserver

# Beside the names of the observer's methods.
_LOG = "log"
_GATHER_SECONDS = 0.5
_Event = tuple[str, dict[str, Any]]


class Forwarder(logging.Handler):
    """A `dicom_node.receive.observer.ReceiveObserver` and log handler that hands on to the parent process.

    An image wakes nobody: what counts it is only put down, and fetched twice a second.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._events: deque[_Event] = deque()
        self._urgent = threading.Event()
        self._finished = False

    def stored(self, *, route: str, outcome: str, size: int) -> None:
        self._events.append(("stored", {"route": route, "outcome": outcome, "size": size}))

    def rejected(self, *, reason: str) -> None:
        self._events.append(("rejected", {"reason": reason}))

    def associations(self, *, opened: int) -> None:
        self._events.append(("associations", {"opened": opened}))

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a log record on; the node's own handlers say where it is written.

        Of an exception the frames go along; its text could quote attribute values.
        """
        if record.exc_info:
            record.exc_text = "".join(traceback.format_tb(record.exc_info[2]))
            record.exc_info = None
        if record.args and not isinstance(record.msg, dict):
            # What a library's record speaks of, a migration's module for instance, need not go through a pipe.
            record.msg, record.args = record.getMessage(), None
        if isinstance(record.msg, dict) and record.msg.pop("exc_info", None):
            record.msg["exception"] = "".join(traceback.format_tb(sys.exc_info()[2]))
        self._events.append((_LOG, {"record": record}))
        self._urgent.set()

    def run(self) -> None:
        """Send, log records at once and counts many at a time so that an image costs no message.

        Ends with `finish`, or when nobody reads any more.
        """
        with suppress(OSError):
            while not self._finished:
                self._urgent.wait(_GATHER_SECONDS)
                self._urgent.clear()
                self._send()
            self._send()

    def finish(self) -> None:
        """Send what is left and end `run`."""
        self._finished = True
        self._urgent.set()

    def _send(self) -> None:
        events = [self._events.popleft() for _ in range(len(self._events))]
        if events:
            self._connection.send(events)


def replay(connection: Connection, *, observer: ReceiveObserver | None) -> None:
    """Tell `observer` and the log what a `Forwarder` sends, until its process is gone.

    Associations that it leaves open have ended with it.
    """
    still_open = 0
    with suppress(EOFError, OSError):
        while True:
            events: list[_Event] = connection.recv()
            for name, values in events:
                if name == _LOG:
                    record: logging.LogRecord = values["record"]
                    logging.getLogger(record.name).handle(record)
                elif observer is not None:
                    still_open += values.get("opened", 0)
                    getattr(observer, name)(**values)
    if still_open and observer is not None:
        observer.associations(opened=-still_open)


def end_after(seconds: float) -> None:
    """End this process, whatever it does, unless it has ended by then."""
    timer = threading.Timer(seconds, os._exit, args=(1,))
    timer.daemon = True
    timer.start()
