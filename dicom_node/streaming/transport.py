"""Sockets and queues for associations whose threads sleep until there is something to do."""

import queue
import select
import socket
import ssl
import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

# A P-DATA-TF PDU of the length that we announce by default, and what follows it.
_READ_AHEAD = 512 * 1024


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
        The association; its network timeout bounds every single read and write, and its ACSE timeout all until the first PDU.
    client_socket
        The accepted connection.
    """

    def __init__(self, assoc: Association, *, client_socket: socket.socket) -> None:
        # Nagle's algorithm with the peer's delayed ACK costs some 40 ms for each response.
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # OpenSSL lets one thread at a time use a connection, and answers are written by another than reads.
        self._one_by_one: AbstractContextManager[Any] = nullcontext()
        if isinstance(client_socket, ssl.SSLSocket):
            self._one_by_one = threading.Lock()
        # Python looks whether there is something to read before it reads from a socket with a timeout. Here reading is
        # tried first, since of a series that streams in there mostly is, and waited for only if not.
        client_socket.setblocking(False)
        self._timeout_seconds: float | None = assoc.network_timeout
        # PS3.8 9.1.5: the ARTIM timer, which a peer that falls silent in its first words must not outlive.
        self._first_by = None if assoc.acse_timeout is None else time.monotonic() + assoc.acse_timeout
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(client_socket, select.POLLIN)
        self._writable.register(client_socket, select.POLLOUT)
        self._ahead = memoryview(bytearray(_READ_AHEAD))
        self._start = self._end = 0
        self._tls = client_socket if isinstance(client_socket, ssl.SSLSocket) else None
        self._first_byte: int | None = None
        self._is_secure = False
        self._tls_error: ssl.SSLError | None = None
        super().__init__(assoc, client_socket=client_socket)

    @property
    def broken_handshake(self) -> tuple[ssl.SSLError | None, int] | None:
        """What OpenSSL said, and the first byte that came, if TLS came to nothing; None in the clear, and if nothing ever came."""
        if self._first_byte is None or (self._is_secure and self._tls_error is None):
            return None
        return self._tls_error, self._first_byte

    def settle(self) -> None:
        """The first PDU has come."""
        self._first_by = None

    @property
    def has_read_ahead(self) -> bool:
        """Whether something was read already that nobody has asked for."""
        return self._start < self._end

    @property
    def ready(self) -> bool:
        """Whether there is something to read; unlike pynetdicom's, not limited to 1024 descriptors."""
        if self.socket is None or not self._is_connected:
            return False
        if self.has_read_ahead or bool(self._readable.poll(0)):
            return True
        # What was deciphered along with the last read is in the socket no more.
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    def read_ahead(self) -> bool:
        """Read what has arrived, without waiting; whether there is something to be had, the end of the stream included.

        Raises
        ------
        OSError
            If the connection broke.
        """
        if self._start < self._end:
            return True
        self._start = 0
        try:
            self._end = self._receive(self._ahead)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._end = 0
            return False
        return True

    def read(self, count: int) -> memoryview:
        """The next `count` bytes, or fewer if the peer closes the connection; valid until the next call.

        Raises
        ------
        OSError
            If the connection broke. TimeoutError: if nothing came for as long as the network timeout.
        """
        if self._end - self._start < count:
            self._fill(count)
        start = self._start
        self._start = min(start + count, self._end)
        return self._ahead[start : self._start]

    def recv(self, nr_bytes: int) -> bytearray:
        """Read `nr_bytes`, or fewer if the peer closes the connection."""
        return bytearray(self.read(nr_bytes))

    def send(self, bytestream: bytes) -> None:
        """Send `bytestream`; a connection that breaks, or takes nothing for too long, is closed (Evt17, PS3.8 9.2)."""
        connection = cast(socket.socket, self.socket)
        left = memoryview(bytestream)
        try:
            while left:
                try:
                    with self._one_by_one:
                        sent = connection.send(left)
                    left = left[sent:]
                except (BlockingIOError, ssl.SSLWantWriteError):
                    self._await(self._writable)
                except ssl.SSLWantReadError:
                    self._await(self._readable)
        except OSError:
            self.event_queue.put("Evt17")
            return
        evt.trigger(self.assoc, evt.EVT_DATA_SENT, {"data": bytestream})

    def _fill(self, count: int) -> None:
        """Read until `count` bytes are there, or the end of the stream."""
        if self._start + count > len(self._ahead):
            left = self._ahead[self._start : self._end]
            # PDUs are refused by their length before they are read, so the buffer's size is bounded, too.
            ahead = self._ahead if count <= len(self._ahead) else memoryview(bytearray(count))
            ahead[: len(left)] = left
            self._ahead, self._start, self._end = ahead, 0, len(left)
        while self._end - self._start < count:
            try:
                received = self._receive(self._ahead[self._end :])
            except (BlockingIOError, ssl.SSLWantReadError):
                self._await(self._readable)
                continue
            except ssl.SSLWantWriteError:
                self._await(self._writable)
                continue
            if not received:
                return
            self._end += received

    def _receive(self, into: memoryview) -> int:
        with self._one_by_one:
            if self._tls is None:
                return cast(socket.socket, self.socket).recv_into(into)
            return self._decipher(self._tls, into)

    def _decipher(self, connection: ssl.SSLSocket, into: memoryview) -> int:
        """Read, shaking hands before, and keep what goes wrong with it."""
        if self._first_byte is None:
            # As it came, and left where it is: an SSLSocket's own method does not look.
            first = socket.socket.recv(connection, 1, socket.MSG_PEEK)
            self._first_byte = first[0] if first else None
        try:
            return connection.recv_into(into)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._tls_error = error
            raise
        finally:
            self._is_secure = self._is_secure or connection.version() is not None

    def _await(self, poll: select.poll) -> None:
        seconds = self._timeout_seconds
        if self._first_by is not None:
            left = max(0.0, self._first_by - time.monotonic())
            seconds = left if seconds is None else min(seconds, left)
        if not poll.poll(None if seconds is None else seconds * 1000):
            raise TimeoutError("the peer fell silent in the middle of a PDU")
