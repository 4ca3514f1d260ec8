"""pynetdicom's upper layer for an acceptor, without polling and without copies.

pynetdicom runs two threads for each association, the upper layer (sockets, PDUs, state machine) and the service user
(DIMSE). Both poll once a millisecond, the socket is read in pieces of 4 KiB, and each PDU is copied some six times.
This package keeps its state machine and negotiation, and replaces only that:

* both threads sleep until there is something to do (a waker beside the socket, an event beside the queues);
* a P-DATA-TF PDU (PS3.8 9.3.5) is read in one piece, into memory used again for the next one, and its fragments are
  handed on as views of it;
* a C-STORE is served in the upper layer's thread, its fragments going to disk as they arrive, so that an image needs no
  hand-over between threads and memory stays bounded by one PDU, and its answer goes straight to the socket.

It touches pynetdicom names with a leading underscore: ``pyproject.toml`` holds pynetdicom below its next major version,
and ``tests/unit/dicom_node/streaming/test_association.py`` fails if one of them goes.
"""

import queue
import select
import socket
import struct
import threading
from collections.abc import Iterable
from typing import Any, cast

import structlog
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.streaming.transport import ReceivingSocket, SignallingQueue, Waker

# What a peer can make us hold in one piece. 128 presentation contexts with every transfer syntax make an
# A-ASSOCIATE-RQ of some 200 KiB; a P-DATA-TF PDU may be as long as the maximum that we announce.
_PDU_LIMIT = 1024 * 1024
_P_DATA_TF = 0x04
# Of a P-DATA-TF PDU: type and length; length and context ID of its item (PS3.8 9.3.5).
_HEADER, _ITEM = struct.Struct(">BxL"), struct.Struct(">LB")
#: The longest that a change without a wake-up (a timer that expires) goes unnoticed.
IDLE_SECONDS = 0.2

_log = structlog.get_logger(__name__)

#: Presentation context ID; message control header and fragment of a message (PS3.8 E.2).
Fragment = tuple[int, memoryview]


def _fragments(values: memoryview) -> list[Fragment]:
    """The fragments in a received P-DATA-TF PDU, as views of the bytes read (PS3.8 9.3.5.1)."""
    fragments = []
    offset = 0
    while offset < len(values):
        (item_length, context_id) = _ITEM.unpack_from(values, offset)
        end = offset + 4 + item_length
        # One byte of context ID and one of message control header at least (PS3.8 E.2).
        if item_length < 2 or end > len(values):
            raise ValueError("a presentation data value item is longer than its PDU")
        fragments.append((context_id, values[offset + 5 : end]))
        offset = end
    return fragments


class _PDataPDU:
    """A received P-DATA-TF PDU on its way through pynetdicom's queues, with fragments of its own."""

    def __init__(self, fragments: list[Fragment]) -> None:
        self._primitive = P_DATA()
        self._primitive.presentation_data_value_list.extend(
            (context_id, bytes(value)) for context_id, value in fragments
        )

    def to_primitive(self) -> P_DATA:
        return self._primitive


class ReceivingUpperLayer(DULServiceProvider):
    """The DICOM upper layer service provider, driven by events instead of a timer."""

    def __init__(self, assoc: Association, *, activity: threading.Event) -> None:
        super().__init__(assoc)
        self._waker = Waker()
        self._poll = select.poll()
        self._poll.register(self._waker, select.POLLIN)
        self._polled: int | None = None
        self._activity = activity
        self.to_user_queue = SignallingQueue(activity)

    def send_pdu(self, primitive: Any) -> None:
        """Queue `primitive` for the peer and wake the thread that sends it."""
        super().send_pdu(primitive)
        if threading.current_thread() is not self:
            self._waker.wake()

    def answer(self, context_id: int, value: bytes) -> None:
        """Send a message of one fragment; `value` begins with its message control header. From the upper layer's thread.

        With nothing before it in the queues this is action DT-1, which stays in Sta6 (PS3.8 9.2.3), without them.
        """
        if self._is_calm:
            length = len(value) + 1
            header = _HEADER.pack(_P_DATA_TF, length + 4) + _ITEM.pack(length, context_id)
            cast(ReceivingSocket, self.socket).send(header + value)
            return
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, value))
        self.send_pdu(primitive)

    def transmit(self, context_id: int, fragments: Iterable[bytes]) -> None:
        """Send a message of several fragments, one after the other, as `answer` does; what is left of it goes with the connection."""
        for value in fragments:
            if self._kill_thread or not self._can_transfer:
                return
            length = len(value) + 1
            header = _HEADER.pack(_P_DATA_TF, length + 4) + _ITEM.pack(length, context_id)
            cast(ReceivingSocket, self.socket).send(header + value)
            self._idle_timer.restart()

    def stay(self) -> None:
        """Take the peer for alive: it is we who are at work."""
        self._idle_timer.restart()

    def wake(self) -> None:
        """Have the thread look what there is to do; from any thread."""
        self._waker.wake()

    def refuse(self, why: str) -> None:
        """Let the state machine abort the association for invalid data from the peer (Evt19, PS3.8 9.2)."""
        _log.warning("invalid_pdu", peer=self.assoc.requestor.address, why=why)
        self.break_off()

    def break_off(self) -> None:
        """Let the state machine abort the association, in the middle of a message if need be (AA-8, PS3.8 9.2)."""
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
                if self._is_calm:
                    if cast(Any, self.assoc.dimse).proceed():
                        continue
                    if self._wait():
                        self._idle_timer.restart()
                        self._read_pdu_data()
                    continue
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

    @property
    def _is_calm(self) -> bool:
        """Whether data can be transferred and nothing else is to be done first."""
        return self._can_transfer and not self.to_provider_queue.queue

    @property
    def _can_transfer(self) -> bool:
        """Whether there is a connection, and nothing has happened to it."""
        return (
            self.state_machine.current_state == "Sta6"
            and not self.event_queue.queue
            and self.socket is not None
            and self.socket.socket is not None
        )

    def _wait(self) -> bool:
        """Wait for the peer, or for another thread; returns whether the peer has sent something, its end included."""
        reader = cast(ReceivingSocket | None, self.socket)
        connection = reader.socket if reader is not None else None
        if reader is not None and connection is not None:
            # Of a series that streams in the next PDU is mostly there.
            try:
                if reader.read_ahead():
                    return True
            except OSError:
                self.event_queue.put("Evt17")
                return False
        self._watch(connection)
        waker, readable = self._waker.fileno(), False
        for descriptor, _ in self._poll.poll(IDLE_SECONDS * 1000):
            if descriptor == waker:
                self._waker.clear()
            else:
                readable = True
        return readable

    def _watch(self, connection: socket.socket | None) -> None:
        """Let `_wait` wait for `connection`, too, and for no other."""
        descriptor = None if connection is None or connection.fileno() < 0 else connection.fileno()
        if descriptor == self._polled:
            return
        if self._polled is not None:
            self._poll.unregister(self._polled)
        if descriptor is not None:
            self._poll.register(descriptor, select.POLLIN)
        self._polled = descriptor

    def _read_pdu_data(self) -> None:
        """Read one PDU (PS3.8 9.3.1): type, reserved byte, four bytes of length, value."""
        connection = cast(ReceivingSocket, self.socket)
        try:
            header = bytes(connection.read(_HEADER.size))
            if len(header) < _HEADER.size:
                self.event_queue.put("Evt17")
                return
            pdu_type, length = _HEADER.unpack(header)
            if length > _PDU_LIMIT and length > (self.assoc.acceptor.maximum_length or 0):
                self.refuse("longer than any PDU that was agreed")
                return
            value = connection.read(length)
            connection.settle()
        except OSError:
            self.event_queue.put("Evt17")
            return
        if len(value) < length:
            self.event_queue.put("Evt17")
            return
        pdu: Any
        try:
            if pdu_type == _P_DATA_TF:
                pdu, event = _fragments(value), "Evt10"
            else:
                pdu, event = self._decode_pdu(bytearray(header + value))
        except Exception as error:  # noqa: BLE001 - whatever a malformed PDU raises ends its association, and no other
            self.refuse(type(error).__name__)
            return
        if pdu_type == _P_DATA_TF:
            if self._is_calm:
                # Action DT-2, "issue P-DATA indication", which stays in Sta6 (PS3.8 9.2.3), without the queues.
                cast(Any, self.assoc.dimse).receive_fragments(pdu)
                return
            pdu = _PDataPDU(pdu)
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)
