"""DIMSE for an acceptor: C-STORE, Storage Commitment, query and retrieve streamed to a sink and answered, the rest left to pynetdicom."""

import threading
from collections.abc import Iterable
from io import BytesIO
from typing import cast

import structlog
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.streaming import status
from dicom_node.streaming.command_set import Command, decode_command, encode_response
from dicom_node.streaming.contexts import has_requests
from dicom_node.streaming.reports import Reports
from dicom_node.streaming.retrieving import Retrieving
from dicom_node.streaming.service import Answer, ExcessError, Session, Sink
from dicom_node.streaming.transport import SignallingQueue
from dicom_node.streaming.upper_layer import Fragment, ReceivingUpperLayer

_log = structlog.get_logger(__name__)

# Message control header (PS3.8 E.2): bit 0 command or data set, bit 1 last fragment.
_IS_COMMAND = 0x01
_IS_LAST = 0x02
_FAULT = Answer(status.PROCESSING_FAILURE, "internal error")
_BUSY = Answer(status.UNABLE_TO_PERFORM_SUB_OPERATIONS, "one retrieval of an association at a time")
# A C-STORE-RQ has some 300 bytes.
_COMMAND_LIMIT = 64 * 1024


class StreamingDIMSE(DIMSEServiceProvider):
    """The DIMSE service provider, with C-STORE requests served as their fragments arrive.

    Runs in the upper layer's thread. Until a C-STORE is answered the peer has nothing to send but an abort
    (PS3.7 9.3.1; we never negotiate asynchronous operations), so nothing is missed meanwhile.

    Parameters
    ----------
    assoc
        The association.
    activity
        Set when a message waits that is not a C-STORE request.

    Attributes
    ----------
    session
        What the association was admitted to; None before, and if it was turned away.
    """

    def __init__(self, assoc: Association, *, activity: threading.Event) -> None:
        super().__init__(assoc)
        self.session: Session | None = None
        self.msg_queue = SignallingQueue(activity)
        self._encoded_command = bytearray()
        self._command: Command | None = None
        self._context_id = 0
        self._sink: Sink | None = None
        self._refusal = _FAULT
        self._reports = Reports()
        self._retrieving = Retrieving(assoc)

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
                    try:
                        self._sink.write(fragment)
                    except ExcessError as error:
                        upper_layer.refuse(str(error))
                        return
                if control & _IS_LAST:
                    self._finish()

    def proceed(self) -> bool:
        """Do what is next of a retrieval, while data can be transferred; whether there was something to do."""
        return self._retrieving.proceed()

    def discard(self) -> None:
        """Forget a message that was cut off, reports that were not answered, and a retrieval that is not at its end."""
        self._reports.end()
        self._retrieving.end()
        if self._sink is not None:
            self._sink.discard()
            self._sink = None

    def _begin(self, context_id: int, encoded: bytes) -> None:
        context = self.assoc._accepted_cx.get(context_id)
        command = decode_command(encoded)
        if context is None:
            raise ValueError("presentation context not accepted")
        if command.is_other_request:
            # Answered at once: whoever asks would else wait until one of us gives up.
            self._command, self._context_id = command, context_id
            self._refusal = Answer(status.UNRECOGNISED_OPERATION, "not offered")
            if has_requests(context.abstract_syntax) and command.sop_class_uid == context.abstract_syntax:
                self._begin_request(command, str(context.transfer_syntax[0]))
            if not command.has_data_set:
                self._finish()
            return
        if command.answers_event_report:
            self._reports.answered(command)
            if command.has_data_set:  # an Event Reply, which says nothing here
                self._command, self._context_id = command, context_id
            return
        if not command.is_store_request:
            if command.has_data_set:
                raise ValueError("data set of a service that is not offered")
            if command.answers_store:
                self._retrieving.stored(command)
                return
            if command.is_cancel_request:
                self._retrieving.cancel(command)
                return
            whole = P_DATA()
            whole.presentation_data_value_list.append((context_id, bytes([_IS_COMMAND | _IS_LAST]) + encoded))
            super().receive_primitive(whole)
            return
        self._command, self._context_id = command, context_id
        self._refusal = _FAULT
        if context.abstract_syntax != command.sop_class_uid:
            self._refusal = Answer(status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the presentation context")
        elif self.session is not None:
            try:
                self._sink = self.session.begin(command, transfer_syntax_uid=str(context.transfer_syntax[0]))
            except Exception as error:  # noqa: BLE001 - a fault of ours: the peer must learn that we do not have the object
                _log.exception("store_not_begun", error=type(error).__name__)
        if not command.has_data_set:
            self._finish()

    def _begin_request(self, command: Command, transfer_syntax_uid: str) -> None:
        if self.session is None:
            return
        if self._retrieving.is_running and (command.is_move_request or command.is_get_request):
            self._refusal = _BUSY
            return
        try:
            self._sink = self.session.serve(command, transfer_syntax_uid=transfer_syntax_uid)
        except Exception as error:  # noqa: BLE001 - a fault of ours: the peer must learn that nothing came of it
            _log.exception("request_not_begun", error=type(error).__name__)
            self._refusal = _FAULT

    def _finish(self) -> None:
        command, sink = cast(Command, self._command), self._sink
        self._command = self._sink = None
        if command.answers_event_report:
            return
        answer = self._refusal
        if sink is not None:
            try:
                answer = sink.finish()
            except Exception as error:  # noqa: BLE001 - a fault of ours: the peer must learn that we do not have the object
                _log.exception("store_failed", error=type(error).__name__)
                answer = _FAULT
        if answer.retrieval is not None:
            self._retrieving.begin(command, self._context_id, answer.retrieval)
            return
        for code, match in answer.matches:
            self.send_msg(_match(command, code, match), self._context_id)
        encoded = encode_response(command, status=answer.status, comment=answer.comment)
        cast(ReceivingUpperLayer, self.dul).answer(self._context_id, bytes([_IS_COMMAND | _IS_LAST]) + encoded)
        if answer.then is not None:
            self.send_msg(self._reports.begin(answer.then), self._context_id)


def _match(request: Command, code: int, identifier: bytes) -> C_FIND:
    response = C_FIND()
    response.MessageIDBeingRespondedTo = request.message_id
    response.AffectedSOPClassUID = request.sop_class_uid
    response.Status = code
    response.Identifier = BytesIO(identifier)
    return response
