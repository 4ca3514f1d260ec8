"""The listener in a process of its own.

A thread that waits for a socket or for the disk must get the interpreter lock back each time, some forty times for an
image, and while another thread computes it waits 5 ms for each: beside a series that is being derived, a listener in
the same process receives fourteen images a second instead of some hundreds. So the node keeps its listener apart, and
the two meet in the catalog only.
"""

import queue
import signal
import threading
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import structlog

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.errors import NodeError, ReceiveError
from dicom_node.observe import configure_logging
from dicom_node.receive.listener import Listener
from dicom_node.receive.storage import ReceiveObserver

_log = structlog.get_logger(__name__)

_START_SECONDS = 60.0
_RESTART_SECONDS = 1.0
# What the child says once it listens.
_READY = "ready"
_Event = tuple[str, dict[str, Any]]


class ListenerProcess:
    """Runs a :class:`~dicom_node.receive.listener.Listener` in a process of its own, and again if that dies.

    The process ends with this one, however this one ends, so that the port is free for the next start.

    Parameters
    ----------
    settings
        The node's settings; the process opens the catalog that they name.
    observer
        Told what happens, for metrics; called from one thread of this process.
    """

    def __init__(self, settings: Settings, *, observer: ReceiveObserver | None = None) -> None:
        self._settings = settings
        self._observer = observer
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._watcher: threading.Thread | None = None
        self._stopping = threading.Event()
        self._listening = threading.Event()

    @property
    def is_listening(self) -> bool:
        """Whether new associations are accepted."""
        return self._listening.is_set() and self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int | None:
        """The process ID, None before the start."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process and return once it listens.

        Raises
        ------
        NodeError
            Why it cannot listen: ``cannot_listen``, or what the catalog says.
        """
        self._stopping.clear()
        self._spawn()
        self._watcher = threading.Thread(target=self._watch, name="listener-process", daemon=True)
        self._watcher.start()

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """Accept nothing more, give open associations `grace_seconds` to end, and end the process."""
        self._stopping.set()
        process, connection = self._process, self._connection
        if process is None or connection is None:
            return
        with suppress(OSError):
            connection.send(grace_seconds)
        process.join(3 * grace_seconds + 5.0)
        if process.is_alive():
            process.kill()
            process.join()
        if self._watcher is not None:
            self._watcher.join()
        connection.close()
        self._listening.clear()
        self._process = self._connection = self._watcher = None

    def _spawn(self) -> None:
        # Fresh, not forked: it shares no thread's locks, and no socket or database handle with this process.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._settings), name="s2ldm-listener", daemon=True)
        process.start()
        theirs.close()
        self._process, self._connection = process, ours
        answer: Any = None
        with suppress(EOFError):
            if ours.poll(_START_SECONDS):
                answer = ours.recv()
        if answer == _READY:
            self._listening.set()
            return
        process.kill()
        process.join()
        ours.close()
        self._process = self._connection = None
        if isinstance(answer, NodeError):
            raise answer
        raise ReceiveError(
            "listener_died",
            "The listener's process ended before it could listen.",
            "Look at the node's log for what it said last.",
        )

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._forward()
            self._listening.clear()
            if self._stopping.is_set():
                return
            _log.error("listener_process_died", exit_code=self._process.exitcode if self._process else None)
            while not self._stopping.wait(_RESTART_SECONDS):
                try:
                    self._spawn()
                    break
                except NodeError as error:
                    _log.error("listener_not_restarted", reason=error.code)

    def _forward(self) -> None:
        """Hand events on to the observer until the process is gone."""
        connection = self._connection
        if connection is None:
            return
        with suppress(EOFError, OSError):
            while True:
                events: list[_Event] = connection.recv()
                for name, values in events:
                    if self._observer is not None:
                        getattr(self._observer, name)(**values)


class _Forwarder:
    """A :class:`ReceiveObserver` that sends what it is told to the parent process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()

    def stored(self, *, route: str, outcome: str, size: int) -> None:
        self._events.put(("stored", {"route": route, "outcome": outcome, "size": size}))

    def rejected(self, *, reason: str) -> None:
        self._events.put(("rejected", {"reason": reason}))

    def associations(self, *, opened: int) -> None:
        self._events.put(("associations", {"opened": opened}))

    def run(self) -> None:
        """Send, many at a time; ends when nobody reads any more."""
        with suppress(OSError):
            while True:
                events = [self._events.get()]
                with suppress(queue.Empty):
                    while True:
                        events.append(self._events.get_nowait())
                self._connection.send(events)


def _serve(connection: Connection, settings: Settings) -> None:
    """The process' main: listen until the parent says how much grace to give, or is gone."""
    # Ctrl-C and a service manager's SIGTERM reach every process of the node; the parent decides what follows.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure_logging(settings.log)
    forwarder = _Forwarder(connection)
    try:
        with Catalog(settings.catalog_location) as catalog:
            # Of a listener that died: nobody else holds associations on this catalog.
            for association in catalog.open_associations():
                catalog.close_association(association.id, outcome="lost")
            listener = Listener(settings, catalog, observer=forwarder)
            listener.start()
            connection.send(_READY)
            threading.Thread(target=forwarder.run, name="events", daemon=True).start()
            grace_seconds = 0.0
            with suppress(EOFError, OSError):
                grace_seconds = float(connection.recv())
            listener.stop(grace_seconds=grace_seconds)
    except NodeError as error:
        with suppress(OSError):
            connection.send(error)
