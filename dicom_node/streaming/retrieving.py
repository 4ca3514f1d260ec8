"""The retrieval that runs on an association: responses, and the objects that go to the peer on it (PS3.7 9.3.3, 9.3.4)."""

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from typing import cast

import structlog
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_GET, C_MOVE

from dicom_node.streaming.command_set import Command, encode_store_request
from dicom_node.streaming.retrieval import Opened, Parcel, Progress, Retrieval
from dicom_node.streaming.upper_layer import ReceivingUpperLayer

_log = structlog.get_logger(__name__)

# Message control header (PS3.8 E.2).
_IS_COMMAND, _IS_LAST = 0x01, 0x02
# Item length, context ID and message control header are in a PDU, too (PS3.8 9.3.5.1).
_OVERHEAD = 6
#: The longest fragment for a peer that takes any (PS3.8 D.1).
_LONGEST_FRAGMENT = 256 * 1024


class Retrieving:
    """One at a time, as asynchronous operations are never negotiated. In the upper layer's thread."""

    def __init__(self, association: Association) -> None:
        self._association = association
        self._retrieval: Retrieval | None = None
        self._request: Command | None = None
        self._context_id = 0
        self._sent = 0
        self._is_awaiting = False

    @property
    def is_running(self) -> bool:
        """Whether there is one."""
        return self._retrieval is not None

    def begin(self, request: Command, context_id: int, retrieval: Retrieval) -> None:
        """Run ``retrieval``; its responses answer ``request``."""
        self._request, self._context_id, self._retrieval = request, context_id, retrieval
        self._is_awaiting = False
        retrieval.start(self._upper_layer.wake)

    def proceed(self) -> bool:
        """Do what is next, while data can be transferred; whether there was something to do."""
        retrieval = self._retrieval
        if retrieval is None:
            return False
        if not self._is_awaiting:
            self._upper_layer.stay()  # the peer has nothing to say meanwhile
        progress = retrieval.report()
        if progress is not None:
            self._respond(progress)
            return True
        parcel = None if self._is_awaiting else retrieval.next_parcel()
        if parcel is None:
            return False
        self._send(parcel, retrieval)
        return True

    def stored(self, response: Command) -> None:
        """A C-STORE-RSP has come; one that answers nothing is passed over."""
        if self._retrieval is not None and self._is_awaiting and response.message_id == self._message_id:
            self._is_awaiting = False
            self._retrieval.stored(response.status)

    def cancel(self, request: Command) -> None:
        """A C-CANCEL-RQ has come; it may be too late."""
        if self._retrieval is not None and self._request is not None and request.message_id == self._request.message_id:
            self._retrieval.cancel()

    def end(self) -> None:
        """The association is over."""
        if self._retrieval is not None:
            self._retrieval.end()
            self._retrieval = None

    @property
    def _upper_layer(self) -> ReceivingUpperLayer:
        return cast(ReceivingUpperLayer, self._association.dul)

    @property
    def _message_id(self) -> int:
        return (self._sent - 1) % 65535 + 1

    def _respond(self, progress: Progress) -> None:
        request = cast(Command, self._request)
        response = C_MOVE() if request.is_move_request else C_GET()
        response.MessageIDBeingRespondedTo = request.message_id
        response.AffectedSOPClassUID = request.sop_class_uid
        response.Status = progress.status
        response.NumberOfRemainingSuboperations = progress.remaining
        response.NumberOfCompletedSuboperations = progress.completed
        response.NumberOfFailedSuboperations = progress.failed
        response.NumberOfWarningSuboperations = progress.warning
        if progress.identifier:
            response.Identifier = BytesIO(progress.identifier)
        if progress.is_last:
            self._retrieval = None
        self._association.dimse.send_msg(response, self._context_id)

    def _send(self, parcel: Parcel, retrieval: Retrieval) -> None:
        contexts = {
            str(context.transfer_syntax[0]): number
            for number, context in self._association._accepted_cx.items()
            if number is not None and context.abstract_syntax == parcel.sop_class_uid and context.as_scu
        }
        try:
            if not contexts:
                raise ValueError("the peer takes no such object")
            opened = parcel.open(contexts)
        except (OSError, ValueError) as error:
            _log.warning("object_not_sent", sop_instance_uid=parcel.sop_instance_uid, error=type(error).__name__)
            retrieval.stored(None)
            return
        self._sent += 1
        self._is_awaiting = True
        command = encode_store_request(
            message_id=self._message_id,
            sop_class_uid=parcel.sop_class_uid,
            sop_instance_uid=parcel.sop_instance_uid,
        )
        with closing(opened.data_set):
            try:
                self._upper_layer.transmit(
                    contexts[opened.transfer_syntax_uid], _fragments(command, opened, self._fragment_bytes)
                )
            except (OSError, EOFError) as error:  # in the middle of a message there is no other way out
                _log.error("object_cut_off", sop_instance_uid=parcel.sop_instance_uid, error=type(error).__name__)
                self._upper_layer.break_off()

    @property
    def _fragment_bytes(self) -> int:
        most = self._association.requestor.maximum_length or 0
        return most - _OVERHEAD if _OVERHEAD < most < _LONGEST_FRAGMENT else _LONGEST_FRAGMENT


def _fragments(command: bytes, opened: Opened, most: int) -> Iterator[bytes]:
    """A C-STORE-RQ with its data set, cut (PS3.8 annex E); one fragment of it in memory."""
    for start in range(0, len(command), most):
        piece = command[start : start + most]
        yield bytes([_IS_COMMAND | (_IS_LAST if start + most >= len(command) else 0)]) + piece
    left = opened.length
    while left:
        piece = opened.data_set.read(min(most, left))
        if not piece:
            raise EOFError("the file is shorter than it was")
        left -= len(piece)
        yield bytes([0 if left else _IS_LAST]) + piece
