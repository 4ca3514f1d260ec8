"""pynetdicom's upper layer for an acceptor, without polling and without copies.

pynetdicom runs two threads for each association, the upper layer (sockets, PDUs, state machine) and the service user
(DIMSE). Both poll once a millisecond, the socket is read in pieces of 4 KiB, and each PDU is copied some six times.
This module and :mod:`dicom_node.receive.association` keep its state machine and negotiation, and replace only that:

* both threads sleep until there is something to do (a waker beside the socket, an event beside the queues);
* a P-DATA-TF PDU (PS3.8 9.3.5) is read in one piece and its fragments are handed on as views of it;
* a C-STORE is served in the upper layer's thread, its fragments going to disk as they arrive, so that an image needs no
  hand-over between threads and memory stays bounded by one PDU.

They touch pynetdicom names with a leading underscore: ``pyproject.toml`` holds pynetdicom below its next major version,
and ``tests/unit/test_receive_association.py`` fails if one of them goes.
"""

import queue
import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Any, cast

import structlog
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

# What a peer can make us hold in one piece. 128 presentation contexts with every transfer syntax make an
# A-ASSOCIATE-RQ of some 200 KiB; a P-DATA-TF PDU may be as long as the maximum that we announce.
_PDU_LIMIT = 1024 * 1024
_READ_AHEAD = 256 * 1024
_P_DATA_TF = 0x04
#: The longest that a change without a wake-up (a timer that expires) goes unnoticed.
IDLE_SECONDS = 0.2

_log = structlog.get_logger(__name__)


class _Waker:
    """Ends another thread's wait for a socket."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        return self._reader.fileno()

    def wake(self) -> None:
        # A full pipe has woken the reader already, and a closed one has nobody left to wake.
        with suppress(OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        with suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
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
    def ready(self) -> bool:
        """Whether there is something to read; unlike pynetdicom's, not limited to 1024 descriptors."""
        if self.socket is None or not self._is_connected:
            return False
        if self._start < self._end:
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


class _PDataPDU:
    """A received P-DATA-TF PDU whose fragments are views of the bytes read (PS3.8 9.3.5.1)."""

    def __init__(self, values: memoryview) -> None:
        self._primitive = P_DATA()
        offset = 0
        while offset < len(values):
            (item_length, context_id) = struct.unpack_from(">LB", values, offset)
            end = offset + 4 + item_length
            # One byte of context ID and one of message control header at least (PS3.8 E.2).
            if item_length < 2 or end > len(values):
                raise ValueError("a presentation data value item is longer than its PDU")
            self._primitive.presentation_data_value_list.append(
                (context_id, values[offset + 5 : end])  # type: ignore[arg-type]
            )
            offset = end

    def to_primitive(self) -> P_DATA:
        return self._primitive


class ReceivingUpperLayer(DULServiceProvider):
    """The DICOM upper layer service provider, driven by events instead of a timer."""

    def __init__(self, assoc: Association, *, activity: threading.Event) -> None:
        super().__init__(assoc)
        self._waker = _Waker()
        self._activity = activity
        self.to_user_queue = SignallingQueue(activity)

    def send_pdu(self, primitive: Any) -> None:
        """Queue `primitive` for the peer and wake the thread that sends it."""
        super().send_pdu(primitive)
        if threading.current_thread() is not self:
            self._waker.wake()

    def refuse(self, why: str) -> None:
        """Let the state machine abort the association for invalid data from the peer (Evt19, PS3.8 9.2)."""
        _log.warning("invalid_pdu", peer=self.assoc.requestor.address, why=why)
        self.event_queue.put("Evt19")

    def kill_dul(self) -> None:
        """Stop the thread."""
        super().kill_dul()
        self._waker.wake()

    def stop_dul(self) -> bool:
        """Stop the thread if the connection is closed (Sta1)."""
        self._waker.wake()
        return super().stop_dul()

    def run_reactor(self) -> None:
        """Serve the connection until killed: send, receive, and walk the state machine (PS3.8 9.2)."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        opened = False
        try:
            # Back in Sta1 the connection is closed, and an acceptor never opens another.
            while not self._kill_thread and not (opened and self.state_machine.current_state == "Sta1"):
                if self.artim_timer.expired:
                    self.event_queue.put("Evt18")
                # Either send one primitive or receive one PDU for each event of the state machine.
                idle = False
                if not self._process_recv_primitive():
                    if self._is_transport_event():
                        self._idle_timer.restart()
                    else:
                        idle = True
                try:
                    event = self.event_queue.get_nowait()
                except queue.Empty:
                    if idle:
                        self._wait()
                    continue
                self.state_machine.do_action(event)
                opened = True
        except Exception as error:  # noqa: BLE001 - logged; whatever it is, it ends this association and no other
            # A peer out of step with the state machine, for instance.
            _log.exception("upper_layer_failed", peer=self.assoc.requestor.address, error=type(error).__name__)
        finally:
            self._activity.set()
            self._waker.close()

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        connection = self.socket.socket if self.socket is not None else None
        if connection is not None and connection.fileno() >= 0:
            poll.register(connection, select.POLLIN)
        if any(descriptor == self._waker.fileno() for descriptor, _ in poll.poll(IDLE_SECONDS * 1000)):
            self._waker.clear()

    def _read_pdu_data(self) -> None:
        """Read one PDU (PS3.8 9.3.1): type, reserved byte, four bytes of length, value."""
        connection = cast(ReceivingSocket, self.socket)
        try:
            header = connection.recv(6)
            if len(header) < 6:
                self.event_queue.put("Evt17")
                return
            pdu_type, length = struct.unpack(">BxL", header)
            if length > max(_PDU_LIMIT, self.assoc.acceptor.maximum_length or 0):
                self.refuse("longer than any PDU that was agreed")
                return
            value = connection.recv(length)
        except OSError:
            self.event_queue.put("Evt17")
            return
        if len(value) < length:
            self.event_queue.put("Evt17")
            return
        pdu: Any
        try:
            if pdu_type == _P_DATA_TF:
                pdu, event = _PDataPDU(memoryview(value)), "Evt10"
            else:
                pdu, event = self._decode_pdu(header + value)
        except Exception as error:  # noqa: BLE001 - whatever a malformed PDU raises ends its association, and no other
            self.refuse(type(error).__name__)
            return
        if pdu_type == _P_DATA_TF and self.state_machine.current_state == "Sta6" and self.event_queue.empty():
            # Action DT-2, "issue P-DATA indication", which stays in Sta6 (PS3.8 9.2.3), without the queues.
            self.assoc.dimse.receive_primitive(pdu.to_primitive())
            return
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)
