"""Sockets and queues for associations whose threads sleep until there is something to do."""

import queue
import select
import socket
import threading
from contextlib import suppress
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

_READ_AHEAD = 256 * 1024


class Waker:
    """Ends another thread's wait for a socket; itself something to wait for."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End the wait, or the next one."""
        # A full pipe has woken the reader already, and a closed one has nobody left to wake.
        with suppress(OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Forget what has been said so far."""
        with suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
        """Give the descriptors back."""
        self._reader.close()
        self._writer.close()


class SignallingQueue(queue.Queue[Any]):
    """A queue that also sets an event, so that one thread can wait for several queues."""

    def __init__(self, signal: threading.Event) -> None:
        super().__init__()
        self._signal = signal

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._signal.set()


class ReceivingSocket(AssociationSocket):
    """An association's socket, read ahead in large pieces and written without waiting for acknowledgements.

    Parameters
    ----------
    assoc
        The association; its network timeout bounds every single read and write.
    client_socket
        The accepted connection.
    """

    def __init__(self, assoc: Association, *, client_socket: socket.socket) -> None:
        # Nagle's algorithm with the peer's delayed ACK costs some 40 ms for each response.
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that stops in the middle of a PDU must not hold a thread and an association for ever.
        client_socket.settimeout(assoc.network_timeout)
        self._ahead = memoryview(bytearray(_READ_AHEAD))
        self._start = self._end = 0
        super().__init__(assoc, client_socket=client_socket)

    @property
    def has_read_ahead(self) -> bool:
        """Whether something was read already that nobody has asked for."""
        return self._start < self._end

    @property
    def ready(self) -> bool:
        """Whether there is something to read; unlike pynetdicom's, not limited to 1024 descriptors."""
        if self.socket is None or not self._is_connected:
            return False
        if self.has_read_ahead:
            return True
        poll = select.poll()
        try:
            poll.register(self.socket, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Read `nr_bytes`, or fewer if the peer closes the connection."""
        connection = cast(socket.socket, self.socket)
        value = bytearray(nr_bytes)
        view = memoryview(value)
        done = 0
        while done < nr_bytes:
            if self._start == self._end:
                self._start, self._end = 0, connection.recv_into(self._ahead)
                if not self._end:
                    return value[:done]
            count = min(nr_bytes - done, self._end - self._start)
            view[done : done + count] = self._ahead[self._start : self._start + count]
            done += count
            self._start += count
        return value
