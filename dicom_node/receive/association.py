"""An association that a peer has opened: C-ECHO by pynetdicom, C-STORE streamed to a sink."""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

import structlog
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.receive import status
from dicom_node.receive.admission import Admission
from dicom_node.receive.command_set import Command, decode_command, encode_store_response
from dicom_node.receive.transport import SignallingQueue
from dicom_node.receive.upper_layer import IDLE_SECONDS, Fragment, ReceivingUpperLayer

_log = structlog.get_logger(__name__)

# Message control header (PS3.8 E.2): bit 0 command or data set, bit 1 last fragment.
_IS_COMMAND = 0x01
_IS_LAST = 0x02
# A C-STORE-RQ has some 300 bytes.
_COMMAND_LIMIT = 64 * 1024

Answer = tuple[int, str]


class StoreSink(Protocol):
    """Where the data set of one C-STORE request goes."""

    def append(self, fragment: memoryview) -> None:
        """Take the next fragment, which is only valid during the call. Must not raise for what the disk does."""

    def finish(self) -> Answer:
        """Keep the data set, which is complete, and return status and error comment for the peer."""

    def discard(self) -> None:
        """Forget the data set: it will never be complete."""


class StoreService(Protocol):
    """What an association does with C-STORE requests."""

    def open_sink(self, command: Command, *, transfer_syntax_uid: str, admission: Admission) -> StoreSink:
        """Where the data set that follows `command` goes."""


class _StreamingDIMSE(DIMSEServiceProvider):
    """The DIMSE service provider, with C-STORE requests served as their fragments arrive.

    Runs in the upper layer's thread. Until a C-STORE is answered the peer has nothing to send but an abort
    (PS3.7 9.3.1; we never negotiate asynchronous operations), so nothing is missed meanwhile.
    """

    def __init__(self, assoc: "ReceivingAssociation", *, store: StoreService) -> None:
        super().__init__(assoc)
        self.msg_queue = SignallingQueue(assoc.activity)
        self._store = store
        self._encoded_command = bytearray()
        self._command: Command | None = None
        self._context_id = 0
        self._sink: StoreSink | None = None

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of a P-DATA primitive."""
        self.receive_fragments(cast(list[Fragment], primitive.presentation_data_value_list))

    def receive_fragments(self, fragments: Iterable[Fragment]) -> None:
        """Take fragments of messages (PS3.8 annex E)."""
        upper_layer = cast(ReceivingUpperLayer, self.dul)
        for context_id, value in fragments:
            control, fragment = value[0], value[1:]
            if control & _IS_COMMAND:
                self._encoded_command += fragment
                if self._command is not None or len(self._encoded_command) > _COMMAND_LIMIT:
                    upper_layer.refuse("command set in the middle of a message")
                    return
                if not control & _IS_LAST:
                    continue
                try:
                    self._begin(context_id, bytes(self._encoded_command))
                except ValueError as error:
                    upper_layer.refuse(str(error))
                    return
                self._encoded_command.clear()
            elif self._command is None or context_id != self._context_id:
                upper_layer.refuse("data set without a command set")
                return
            else:
                if self._sink is not None:
                    self._sink.append(fragment)
                if control & _IS_LAST:
                    self._finish()

    def discard(self) -> None:
        """Forget a message that was cut off."""
        if self._sink is not None:
            self._sink.discard()
            self._sink = None

    def _begin(self, context_id: int, encoded: bytes) -> None:
        association = cast(ReceivingAssociation, self.assoc)
        context = association._accepted_cx.get(context_id)
        command = decode_command(encoded)
        if context is None:
            raise ValueError("presentation context not accepted")
        if not command.is_store_request:
            if command.has_data_set:
                raise ValueError("data set of a service that is not offered")
            whole = P_DATA()
            whole.presentation_data_value_list.append((context_id, bytes([_IS_COMMAND | _IS_LAST]) + encoded))
            super().receive_primitive(whole)
            return
        self._command, self._context_id = command, context_id
        if context.abstract_syntax == command.sop_class_uid and association.admission is not None:
            self._sink = self._store.open_sink(
                command, transfer_syntax_uid=str(context.transfer_syntax[0]), admission=association.admission
            )
        if not command.has_data_set:
            self._finish()

    def _finish(self) -> None:
        command, sink = cast(Command, self._command), self._sink
        self._command = self._sink = None
        code, comment = status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the presentation context"
        if sink is not None:
            try:
                code, comment = sink.finish()
            except Exception as error:  # noqa: BLE001 - a fault of ours: the peer must learn that we do not have the object
                _log.exception("store_failed", error=type(error).__name__)
                code, comment = status.PROCESSING_FAILURE, "internal error"
        encoded = encode_store_response(command, status=code, comment=comment)
        cast(ReceivingUpperLayer, self.dul).answer(self._context_id, bytes([_IS_COMMAND | _IS_LAST]) + encoded)


class ReceivingAssociation(Association):
    """An association as acceptor.

    Parameters
    ----------
    ae
        The local application entity.
    store
        What to do with C-STORE requests.
    on_end
        Called once with the association when it is over, however it ended.

    Attributes
    ----------
    admission
        What the association was admitted for; None before, and if it was turned away.
    connection_lost
        Whether the connection broke without release or abort.
    activity
        Set whenever a message, a primitive from the peer or the end of the upper layer waits to be handled.
    """

    def __init__(self, ae: AE, *, store: StoreService, on_end: Callable[["ReceivingAssociation"], None]) -> None:
        self.admission: Admission | None = None
        self.connection_lost = False
        self.activity = threading.Event()
        self._on_end = on_end
        super().__init__(ae, "acceptor")
        self.dul = ReceivingUpperLayer(self, activity=self.activity)
        self._streaming = _StreamingDIMSE(self, store=store)
        self.dimse = self._streaming
        # The setters hand the timeouts on to the upper layer, which has just been replaced.
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout

    def run_reactor(self) -> None:
        """Negotiate, serve, and leave nothing behind of a message that was cut off."""
        self.dul.start()
        self._started_dul = True
        try:
            # A connection that closes without a word (a load balancer's health check) ends here and at once, a silent
            # one when the upper layer's ARTIM timer closes it (PS3.8 9.1.5).
            while self.dul.is_alive() and self.dul.peek_next_pdu() is None:
                self._await_activity()
            if self.dul.peek_next_pdu() is None:
                self._close_connection()
            else:
                super().run_reactor()
        finally:
            self.dul.kill_dul()
            self.dul.join()
            self._streaming.discard()
            self._on_end(self)

    def _bind_defaults(self) -> None:
        """Bind pynetdicom's default handlers, but not those that write each message to its log."""
        for event in evt._INTERVENTION_EVENTS:
            self.bind(event, evt.get_default_handler(event))

    def _await_activity(self) -> None:
        self.activity.wait(IDLE_SECONDS)
        self.activity.clear()

    def _close_connection(self) -> None:
        connection = self.dul.socket.socket if self.dul.socket is not None else None
        if connection is not None:
            connection.close()

    def _run_reactor(self) -> None:
        """Serve DIMSE messages until the peer releases, aborts or falls silent (PS3.8 7.2 to 7.4)."""
        self._is_paused = False
        while not self._kill:
            self._await_activity()
            self._serve_messages()
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

    def _serve_messages(self) -> None:
        while not self._kill:
            try:
                context_id, message = cast(tuple[Any, Any], self.dimse.msg_queue.get_nowait())
            except queue.Empty:
                return
            # The state machine queues a message that is none when the connection is gone.
            if message is not None:
                self._serve_request(message, context_id)
