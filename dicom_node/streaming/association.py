"""An association that a peer has opened: admitted by a service, C-ECHO by pynetdicom, C-STORE streamed."""

import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import structlog
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicom_node.streaming.contexts import asks_to_store, supported_contexts
from dicom_node.streaming.dimse import StreamingDIMSE
from dicom_node.streaming.places import Occupancy, Places
from dicom_node.streaming.service import End, Refusal, Request, Service, Session
from dicom_node.streaming.shared_places import SharedPlaces
from dicom_node.streaming.transport import ReceivingSocket
from dicom_node.streaming.upper_layer import IDLE_SECONDS, ReceivingUpperLayer
from dicom_node.streaming.waiting import WaitingRoom

_log = structlog.get_logger(__name__)

_Objection = TypeVar("_Objection")

# PS3.8 table 9-21: rejected for now by the service provider (presentation), temporary congestion.
_COME_AGAIN = Refusal(result=0x02, source=0x03, reason=0x01)


class ReceivingAssociation(Association):
    """An association as acceptor.

    Parameters
    ----------
    ae
        The local application entity.
    service
        Decides whether it is let in, and what to do with C-STORE requests.
    waiting
        Where its connection waits until it has asked for something.
    places
        Of which it takes one then.

    Attributes
    ----------
    activity
        Set whenever a message, a primitive from the peer or the end of the upper layer waits to be handled.
    """

    def __init__(self, ae: AE, *, service: Service, waiting: WaitingRoom, places: Places | SharedPlaces) -> None:
        self._waiting, self._places = waiting, places
        self.activity = threading.Event()
        self._connection_lost = False
        self._service = service
        super().__init__(ae, "acceptor")
        self.dul = ReceivingUpperLayer(self, activity=self.activity)
        self._streaming = StreamingDIMSE(self, activity=self.activity)
        self.dimse = self._streaming
        # The setters hand the timeouts on to the upper layer, which has just been replaced.
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout
        self.bind(evt.EVT_REQUESTED, self._requested)

    def run_reactor(self) -> None:
        """Negotiate, serve, and leave nothing behind of a message that was cut off."""
        self.dul.start()
        self._started_dul = True
        self._waiting.enter(self, self.requestor.address)
        try:
            # A connection that closes without a word (a load balancer's health check) ends here and at once, a silent
            # one when the upper layer's ARTIM timer closes it (PS3.8 9.1.5).
            while self.dul.is_alive() and self.dul.peek_next_pdu() is None:
                self._await_activity()
            self._waiting.leave(self)
            if self.dul.peek_next_pdu() is not None:
                super().run_reactor()
            else:
                self._close_unheard()
        finally:
            self._waiting.leave(self)
            self._places.give(self)
            self.dul.kill_dul()
            self.dul.join()
            self._streaming.discard()
            if self._streaming.session is not None:
                how: End = "lost" if self._connection_lost else "released" if self.is_released else "aborted"
                self._streaming.session.end(how)

    def cut(self) -> None:
        """Close the connection."""
        connection = self.dul.socket.socket if self.dul.socket is not None else None
        if connection is not None:
            with suppress(OSError):  # gone already
                # Not an SSLSocket's own, which takes OpenSSL's state away from the thread that reads.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _close_unheard(self) -> None:
        """Close a connection on which nothing was asked for, and tell of one whose TLS came to nothing."""
        connection = cast(ReceivingSocket | None, self.dul.socket)
        if connection is None:
            return
        if connection.socket is not None:
            connection.socket.close()
        if connection.broken_handshake is None:
            return
        error, first_byte = connection.broken_handshake
        try:
            self._service.not_secured(self.requestor.address, error=error, first_byte=first_byte)
        except Exception as fault:  # noqa: BLE001 - a fault of ours, which must not stay in this thread's way
            _log.exception("handshake_not_noted", error=type(fault).__name__)

    def _enter(self, party: str, *, object_to: Callable[[Occupancy], _Objection | None]) -> _Objection | None:
        """Take a place (`dicom_node.streaming.Enter`)."""
        return self._places.take(self, party, object_to=object_to)

    def _requested(self, event: evt.Event) -> None:
        request = cast(A_ASSOCIATE, self.requestor.primitive)
        proposed = request.presentation_context_definition_list
        roles = self.requestor.role_selection
        pulled = {uid for uid, role in roles.items() if role.scp_role}
        self.acceptor.supported_contexts = supported_contexts(proposed, pulled=pulled)
        asked = Request(
            called_ae=request.called_ae_title.strip(),
            calling_ae=request.calling_ae_title.strip(),
            peer=self.requestor.address,
            stores=asks_to_store(proposed, only_pulled={uid for uid in pulled if not roles[uid].scu_role}),
        )
        decision: Session | Refusal
        try:
            decision = self._service.admit(asked, enter=self._enter)
        except Exception as error:  # noqa: BLE001 - a fault of ours, without which pynetdicom would let the peer in
            _log.exception("admission_failed", error=type(error).__name__)
            decision = _COME_AGAIN
        if isinstance(decision, Refusal):
            self.acse.send_reject(*decision)
            # Returns when the answer has left and the connection is closed.
            self.kill()
        else:
            self._streaming.session = decision

    def _bind_defaults(self) -> None:
        """Bind pynetdicom's default handlers, but not those that write each message to its log."""
        for event in evt._INTERVENTION_EVENTS:
            self.bind(event, evt.get_default_handler(event))

    def _await_activity(self) -> None:
        self.activity.wait(IDLE_SECONDS)
        self.activity.clear()

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
                self._connection_lost = self.acse.is_aborted("a-p-abort")
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
