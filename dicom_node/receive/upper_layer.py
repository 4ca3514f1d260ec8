"""An acceptor's side of pynetdicom without polling, and with data sets that stream to their sink.

pynetdicom runs two threads for each association, the upper layer (sockets, PDUs, state machine) and the service user
(DIMSE). Both poll once a millisecond, the socket is read in pieces of 4 KiB, each PDU is copied some six times, and a
data set is held in memory until its last fragment. This module keeps pynetdicom's state machine, negotiation and
message encoding, and replaces only that:

* both threads sleep until there is something to do (a waker beside the socket, an event beside the queues);
* a P-DATA-TF PDU (PS3.8 9.3.5) is read in one piece and its fragments are handed on as views of it;
* the fragments of a C-STORE data set go to a :class:`DatasetSink` as they arrive, so memory stays bounded by one PDU.

It touches pynetdicom names with a leading underscore: ``pyproject.toml`` holds pynetdicom below its next major version
and ``tests/unit/test_receive_upper_layer.py`` fails if one of them goes.
"""

import queue
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any, cast

import structlog
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationSocket

from dicom_node.receive.admission import Admission

# What a peer can make us hold in one piece. 128 presentation contexts with every transfer syntax make an
# A-ASSOCIATE-RQ of some 200 KiB; a P-DATA-TF PDU may be as long as the maximum that we announce.
_PDU_LIMIT = 1024 * 1024
_P_DATA_TF = 0x04
# The longest that a change without a wake-up (a timer that expires) goes unnoticed.
_IDLE_SECONDS = 0.2

_log = structlog.get_logger(__name__)


class DatasetSink(BytesIO):
    """Where the data set of one message goes, fragment by fragment, in place of pynetdicom's memory buffer.

    pynetdicom asks for a ``BytesIO``; nothing is ever stored in this one.
    """

    def write(self, fragment: Any) -> int:
        """Take the next fragment, a bytes-like object that is only valid during the call."""
        raise NotImplementedError

    def discard(self) -> None:
        """Forget the data set: the message will never be complete."""
        raise NotImplementedError


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


class _SignallingQueue(queue.Queue[Any]):
    """A queue that also sets an event, so that one thread can wait for several queues."""

    def __init__(self, signal: threading.Event) -> None:
        super().__init__()
        self._signal = signal

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._signal.set()


class ReceivingSocket(AssociationSocket):
    """An association's socket, read in whole PDUs and written without waiting for the peer's acknowledgement."""

    def __init__(self, assoc: Association, *, client_socket: socket.socket) -> None:
        # Nagle's algorithm with the peer's delayed ACK costs some 40 ms for each response.
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that stops in the middle of a PDU must not hold a thread and an association for ever.
        client_socket.settimeout(assoc.network_timeout)
        super().__init__(assoc, client_socket=client_socket)

    @property
    def ready(self) -> bool:
        """Whether there is something to read; as in pynetdicom, but without ``select``'s limit of 1024 descriptors."""
        if self.socket is None or not self._is_connected:
            return False
        poll = select.poll()
        try:
            poll.register(self.socket, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Read `nr_bytes`, or fewer if the peer closes the connection."""
        sock = cast(socket.socket, self.socket)
        buffer = bytearray(nr_bytes)
        view = memoryview(buffer)
        received = 0
        while received < nr_bytes:
            count = sock.recv_into(view[received:])
            if not count:
                return buffer[:received]
            received += count
        return buffer


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

    def __init__(self, assoc: "ReceivingAssociation") -> None:
        super().__init__(assoc)
        self._waker = _Waker()
        self.to_user_queue = _SignallingQueue(assoc.activity)

    def send_pdu(self, primitive: Any) -> None:
        """Queue `primitive` for the peer and wake the thread that sends it."""
        super().send_pdu(primitive)
        self._waker.wake()

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
        assoc = cast(ReceivingAssociation, self.assoc)
        self._idle_timer.start()
        assoc._dul_ready.set()
        opened = False
        try:
            # Back in Sta1 the connection is closed, and an acceptor never opens another.
            while not self._kill_thread and not (opened and self.state_machine.current_state == "Sta1"):
                if self.artim_timer.expired:
                    self.event_queue.put("Evt18")
                # Either send one primitive or receive one PDU for each event of the state machine.
                if not self._process_recv_primitive() and self._is_transport_event():
                    self._idle_timer.restart()
                try:
                    event = self.event_queue.get_nowait()
                except queue.Empty:
                    self._wait()
                    continue
                self.state_machine.do_action(event)
                opened = True
        except Exception as error:
            # A peer out of step with the state machine, for instance; the association ends, the listener does not.
            _log.exception("upper_layer_failed", peer=assoc.requestor.address, error=type(error).__name__)
        finally:
            assoc.activity.set()
            self._waker.close()

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        connection = self.socket.socket if self.socket is not None else None
        if connection is not None and connection.fileno() >= 0:
            poll.register(connection, select.POLLIN)
        if any(descriptor == self._waker.fileno() for descriptor, _ in poll.poll(_IDLE_SECONDS * 1000)):
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
                self._refuse_pdu("longer than any PDU that was agreed")
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
            self._refuse_pdu(type(error).__name__)
            return
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _refuse_pdu(self, why: str) -> None:
        """Let the state machine abort the association for an invalid PDU (Evt19)."""
        _log.warning("invalid_pdu", peer=self.assoc.requestor.address, why=why)
        self.event_queue.put("Evt19")


class _StreamingDIMSE(DIMSEServiceProvider):
    """The DIMSE service provider, with a sink from the association for each message's data set."""

    def __init__(self, assoc: "ReceivingAssociation") -> None:
        super().__init__(assoc)
        self.msg_queue = _SignallingQueue(assoc.activity)

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Add fragments to the message that they belong to, and queue the message once it is whole."""
        if self.message is None:
            self.message = DIMSEMessage()
            self.message.data_set = cast(ReceivingAssociation, self.assoc).new_sink(self.message)
        super().receive_primitive(primitive)


class ReceivingAssociation(Association):
    """An association that the peer has opened.

    Parameters
    ----------
    ae
        The local application entity.
    open_sink
        Called with the association and the message (command set not yet decoded) for each message that begins;
        returns where its data set goes.
    on_end
        Called once with the association when it is over, however it ended.

    Attributes
    ----------
    admission
        What the association was admitted for; None before and if it was turned away.
    connection_lost
        Whether the connection broke without release or abort.
    """

    def __init__(
        self,
        ae: AE,
        *,
        open_sink: Callable[["ReceivingAssociation", DIMSEMessage], DatasetSink],
        on_end: Callable[["ReceivingAssociation"], None],
    ) -> None:
        self.admission: Admission | None = None
        self.connection_lost = False
        self._on_end = on_end
        #: Set whenever a message, a primitive from the peer or the end of the upper layer waits to be handled.
        self.activity = threading.Event()
        self._open_sink = open_sink
        super().__init__(ae, "acceptor")
        self.dul = ReceivingUpperLayer(self)
        self.dimse = _StreamingDIMSE(self)
        # The setters hand the timeouts on to the upper layer that has just been replaced.
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout

    def new_sink(self, message: DIMSEMessage) -> DatasetSink:
        """Where the data set of `message` goes."""
        return self._open_sink(self, message)

    def run_reactor(self) -> None:
        """Negotiate, serve, and leave nothing behind of a message that was cut off."""
        self.dul.start()
        self._started_dul = True
        try:
            # A connection that closes without a word (a load balancer's health check) ends here and at once, a silent
            # one when the upper layer's ARTIM timer closes it.
            while self.dul.is_alive() and self.dul.peek_next_pdu() is None:
                self.activity.wait(_IDLE_SECONDS)
                self.activity.clear()
            if self.dul.peek_next_pdu() is None:
                self.kill()
                self._shut_connection()
            else:
                super().run_reactor()
        finally:
            unfinished = self.dimse.message
            if unfinished is not None and isinstance(unfinished.data_set, DatasetSink):
                unfinished.data_set.discard()
            self._on_end(self)

    def _bind_defaults(self) -> None:
        """Bind pynetdicom's default handlers, but not those that write each message to its log."""
        for event in evt._INTERVENTION_EVENTS:
            self.bind(event, evt.get_default_handler(event))

    def _serve_request(self, msg: Any, context_id: int) -> None:
        """Serve one DIMSE request; C-STORE under any SOP class, private ones too, that its context was accepted for."""
        context = self._accepted_cx.get(context_id)
        if not isinstance(msg, C_STORE) or context is None or context.abstract_syntax == Verification:
            super()._serve_request(msg, context_id)
            return
        if msg.is_valid_request:
            StorageServiceClass(self).SCP(msg, context)

    def _shut_connection(self) -> None:
        connection = self.dul.socket.socket if self.dul.socket is not None else None
        if connection is not None:
            connection.close()

    def _run_reactor(self) -> None:
        """Serve DIMSE messages until the peer releases, aborts or falls silent (PS3.8 7.2-7.4)."""
        self._is_paused = False
        while not self._kill:
            self.activity.wait(_IDLE_SECONDS)
            self.activity.clear()
            context_id, message = self.dimse.get_msg(block=False)
            while message is not None and not self._kill:
                self._serve_request(message, cast(int, context_id))
                context_id, message = self.dimse.get_msg(block=False)
            if self.is_established and self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released = True
                self.is_established = False
                evt.trigger(self, evt.EVT_RELEASED, {})
                self.kill()
            elif self.acse.is_aborted():
                self.connection_lost = self.acse.is_aborted("a-p-abort")
                self.dul.receive_pdu(wait=False)
                self.is_aborted = True
                self.is_established = False
                evt.trigger(self, evt.EVT_ABORTED, {})
                self.kill()
            elif not self.dul.is_alive():
                self.kill()
            elif self.dul.idle_timer_expired():
                self.abort()
                self.kill()
