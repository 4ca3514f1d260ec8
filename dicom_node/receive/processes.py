"""Listeners in processes of their own, on the same ports.

A thread that waits for a socket or for the disk must get the interpreter lock back each time, some thirty times for an
image, and while another thread computes it waits 5 ms for each: beside a series that is being derived, a listener in
the same process receives fourteen images a second instead of some hundreds. So the node keeps its listeners apart; they
and the node meet in the catalog only. One is enough for most: the disk, the digest and the socket, which do most of the
work, run outside the interpreter lock, and rows of one process share a transaction, while those of two wait in turn.
"""

import threading
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any
from uuid import uuid4

import structlog

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.errors import NodeError, ReceiveError
from dicom_node.privacy import place_of
from dicom_node.receive.forwarding import replay
from dicom_node.receive.listener import Ports, Shared, open_ports, prepare_spool
from dicom_node.receive.observer import ReceiveObserver
from dicom_node.receive.process_main import READY, serve
from dicom_node.receive.retrieve import Carry
from dicom_node.receive.spool import Spool

_log = structlog.get_logger(__name__)

_START_SECONDS = 60.0
_RESTART_SECONDS = 1.0
#: So often a process is started that dies before it listens.
_START_ATTEMPTS = 3
#: So long the port may still be held by the listeners of a node that was killed a moment ago.
_PORT_SECONDS = 10.0


class ListenerProcesses:
    """Runs listeners in processes of their own, and again if one dies.

    The ports are opened here and shared: whichever process is free accepts the next association, and while one is being
    replaced the others go on. The processes end with this one, however this one ends.

    Parameters
    ----------
    settings
        The node's settings when it starts; each of the ``node.listener_processes`` opens the catalog that they name.
        ``node.max_associations`` and the limits of peers hold for all together.
    observer
        Told what happens, for metrics; called from one thread for each process.
    carry
        Sends to the destinations of C-MOVE; called in the processes, so a function of a module.
    """

    def __init__(
        self, settings: Settings, *, observer: ReceiveObserver | None = None, carry: Carry | None = None
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._carry = carry
        self._ports: Ports | None = None
        self._shared: Shared | None = None
        self._listeners: list[_ListenerProcess] = []

    @property
    def is_listening(self) -> bool:
        """Whether new associations are accepted, by every process."""
        return bool(self._listeners) and all(one.is_listening for one in self._listeners)

    @property
    def pids(self) -> list[int]:
        """The processes' IDs."""
        return [one.pid for one in self._listeners if one.pid is not None]

    def start(self) -> None:
        """Open the port, start the processes, and return once all listen.

        Raises
        ------
        NodeError
            Why they cannot listen: ``cannot_listen``, or what the catalog says.
        """
        node = self._settings.node
        self._ports = open_ports(self._settings, patience_seconds=_PORT_SECONDS)
        try:
            spool = Spool(node.data_dir, min_free_bytes=0)
            prepare_spool(spool, several_nodes=self._settings.several_nodes)
            spool.close()
            if node.listener_processes > 1:
                self._shared = Shared.by(self._settings)
            for _ in range(node.listener_processes):
                self._listeners.append(
                    _ListenerProcess(
                        self._settings, self._ports, observer=self._observer, carry=self._carry, shared=self._shared
                    )
                )
            # All are started before the first is waited for: they spend their first second importing.
            for one in self._listeners:
                one.spawn()
            for one in self._listeners:
                one.await_ready_or_again()
        except BaseException:
            self.stop(grace_seconds=0.0)
            raise
        for one in self._listeners:
            one.watch()

    def take_up(self, settings: Settings) -> None:
        """Serve other routes and peers from now on; open associations go on."""
        self._settings = settings
        for one in self._listeners:
            one.take_up(settings)

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """Accept nothing more, give open associations `grace_seconds` to end, and end the processes."""
        if self._ports is not None:
            self._ports.close()
        for one in self._listeners:
            one.ask_to_stop(grace_seconds)
        for one in self._listeners:
            one.join(3 * grace_seconds + 5.0)
        if self._shared is not None:
            self._shared.close()
        self._listeners = []
        self._ports = self._shared = None


class _ListenerProcess:
    """One of the processes."""

    def __init__(
        self,
        settings: Settings,
        ports: Ports,
        *,
        observer: ReceiveObserver | None,
        carry: Carry | None,
        shared: Shared | None,
    ) -> None:
        self._settings = settings
        self._ports = ports
        self._observer = observer
        self._carry = carry
        self._shared = shared
        self._tag = ""
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._watcher: threading.Thread | None = None
        self._sending = threading.Lock()
        self._stopping = threading.Event()
        self._listening = threading.Event()

    @property
    def is_listening(self) -> bool:
        return self._listening.is_set() and self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def spawn(self) -> None:
        self._end_last()
        # Fresh, not forked: it shares no thread's locks, and no database handle with this process.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        self._tag = f"{uuid4().hex[:8]}-"
        process = context.Process(
            target=serve,
            args=(theirs, self._ports, self._settings, self._tag, self._carry, self._shared),
            name="s2ldm-listener",
            daemon=True,
        )
        process.start()
        theirs.close()
        self._process, self._connection = process, ours

    def _end_last(self) -> None:
        """End what is left of the process before, which may hang rather than be gone."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()

    def await_ready(self) -> None:
        answer: Any = None
        connection = self._connection
        with suppress(EOFError, OSError):
            if connection is not None and connection.poll(_START_SECONDS):
                answer = connection.recv()
        if answer == READY:
            self._listening.set()
        elif isinstance(answer, NodeError):
            raise answer
        else:
            raise ReceiveError(
                "listener_died",
                "A listener's process ended before it could listen.",
                "Look at the node's log for what it said last.",
            )

    def await_ready_or_again(self) -> None:
        """Wait until it listens; one that was killed before it could is started again, a few times."""
        for left in reversed(range(_START_ATTEMPTS)):
            try:
                self.await_ready()
            except ReceiveError as error:
                if error.code != "listener_died" or not left:
                    raise
                _log.error("listener_process_died")
                self.spawn()
            else:
                return

    def watch(self) -> None:
        self._watcher = threading.Thread(target=self._watch, name="listener-watch", daemon=True)
        self._watcher.start()

    def take_up(self, settings: Settings) -> None:
        self._settings = settings
        self._send(settings)

    def ask_to_stop(self, grace_seconds: float) -> None:
        self._stopping.set()
        self._send(grace_seconds)

    def _send(self, message: Settings | float) -> None:
        if self._connection is not None:
            with self._sending, suppress(OSError):
                self._connection.send(message)

    def join(self, seconds: float) -> None:
        if self._process is not None:
            self._process.join(seconds)
            self._process.kill()
            self._process.join()
        if self._watcher is not None:
            self._watcher.join()
        if self._connection is not None:
            self._connection.close()

    def _watch(self) -> None:
        while True:
            if self._connection is not None:
                replay(self._connection, observer=self._observer)
            self._listening.clear()
            if self._stopping.is_set():
                return
            _log.error("listener_process_died")
            while not self._stopping.wait(_RESTART_SECONDS):
                if self._restart():
                    break

    def _restart(self) -> bool:
        """Start a process in place of the one that died; False if that failed, and is to be tried again."""
        try:
            self._close_associations()
        except Exception as error:  # noqa: BLE001 (the catalog may be away, too; their leases run out by themselves)
            _log.warning("associations_not_closed", error=type(error).__name__)
        try:
            self.spawn()
            self.await_ready()
        except NodeError as error:
            _log.error("listener_not_restarted", reason=error.code)
            return False
        except Exception as error:  # noqa: BLE001 (nobody else would start it again; no process, no descriptor left, …)
            _log.error("listener_not_restarted", reason=type(error).__name__, at=place_of(error))
            return False
        self.take_up(self._settings)  # what came while it was started
        if self._stopping.is_set():
            self.ask_to_stop(0.0)
        return True

    def _close_associations(self) -> None:
        """Record that the associations of a process that died are lost, so that their series can complete."""
        with Catalog(self._settings.catalog_location) as catalog:
            for association in catalog.open_associations():
                if association.id.startswith(self._tag):
                    catalog.close_association(association.id, outcome="lost")
