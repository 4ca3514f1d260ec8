"""Asking a peer to keep what it was sent, as Service Class User of Storage Commitment (PS3.4 annex J)."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT

from dicom_node.commitment import (
    ACTION_TYPE,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SOP_CLASS,
    SOP_INSTANCE,
    SYNTAXES,
    CommitmentReport,
    CommitmentRequest,
    decoded,
    read_report,
    report_data_set,
    request_data_set,
)
from dicom_node.deliver.destinations.dicom.association import name_of, no_answer, open_association
from dicom_node.deliver.destinations.dicom.destination import DicomSettings
from dicom_node.errors import DeliverError, RetriableDeliverError

_log = structlog.get_logger(__name__)

_SUCCESS, _INVALID_ARGUMENT, _NO_SUCH_INSTANCE = 0x0000, 0x0115, 0x0112
_PASSING = frozenset({PROCESSING_FAILURE, OUT_OF_RESOURCES})
#: So long the association stays open for an answer on it; most peers answer on another, and may only once this one has ended.
_LISTEN_SECONDS = 2.0
_LOOK_SECONDS = 0.05


def ask_to_commit(
    destination: DicomSettings,
    request: CommitmentRequest,
    *,
    calling_ae: str,
    on_report: Callable[[CommitmentReport], bool],
    answered: Callable[[], bool],
) -> None:
    """N-ACTION (J.3.2); see `dicom_node.deliver.destinations.Committer`.

    Raises
    ------
    DeliverError
        ``no_commitment``: the peer does not offer it. ``commitment_refused``: it will not, with the status.
    """
    try:
        with open_association(destination, calling_ae=calling_ae, contexts=[(SOP_CLASS, SYNTAXES)]) as peer:
            reports = _Reports(peer, on_report)
            response, _ = peer.send_n_action(request_data_set(request), ACTION_TYPE, SOP_CLASS, SOP_INSTANCE)
            status = response.get("Status")
            if status is None:
                raise no_answer(destination)
            if status != _SUCCESS:
                raise _refusal(destination, status)
            ends_at = time.monotonic() + _LISTEN_SECONDS
            while peer.is_established and not reports.taken.is_set() and not answered() and time.monotonic() < ends_at:
                reports.taken.wait(_LOOK_SECONDS)
            reports.close()
    except DeliverError as error:
        if error.code != "no_context":
            raise
        raise DeliverError(
            "no_commitment",
            f"{name_of(destination)} does not offer storage commitment (Storage Commitment Push Model).",
            "Enable it there for this node, or set verify of the destination to find or none; then retry the job.",
        ) from error


def send_report(destination: DicomSettings, report: CommitmentReport, *, calling_ae: str) -> None:
    """N-EVENT-REPORT (J.3.3) to a peer that had asked, as Service Class Provider on an association of the node's own.

    Raises
    ------
    DeliverError
        ``report_refused``: it answers with a failure. ``RetriableDeliverError`` when it may pass.
    """
    contexts = [(SOP_CLASS, SYNTAXES)]
    with open_association(destination, calling_ae=calling_ae, contexts=contexts, as_provider=[SOP_CLASS]) as peer:
        response, _ = peer.send_n_event_report(report_data_set(report), report.event_type, SOP_CLASS, SOP_INSTANCE)
        status = response.get("Status")
        if status is None:
            raise no_answer(destination)
        if status != _SUCCESS:
            error = DeliverError(
                "report_refused",
                f"{name_of(destination)} answered the report of storage commitment with status 0x{status:04X}.",
                "See the peer's log: it must know what it asked this node, by the AE title that it called.",
            )
            raise RetriableDeliverError(error.code, error.sentence, error.remedy) if status in _PASSING else error


def _refusal(destination: DicomSettings, status: int) -> DeliverError:
    error = DeliverError(
        "commitment_refused",
        f"{name_of(destination)} answered the request for storage commitment with status 0x{status:04X}.",
        "See the peer's log: it must know this node by AE title, host and port, and allow it storage commitment.",
    )
    return RetriableDeliverError(error.code, error.sentence, error.remedy) if status in _PASSING else error


class _Reports:
    """Answers N-EVENT-REPORT requests that come on an association of our own, in pynetdicom's thread for each.

    Its own way of serving them would have the reactor look busy, for which a release waits without end.

    Attributes
    ----------
    taken
        Set once one was taken and its answer is on the way.
    """

    def __init__(self, association: Association, on_report: Callable[[CommitmentReport], bool]) -> None:
        self._association, self._on_report = association, on_report
        self._lock = threading.Lock()
        self._closed = False
        self.taken = threading.Event()
        association._serve_request = self._serve  # type: ignore[assignment, method-assign]

    def close(self) -> None:
        """Take no more: nothing may be sent behind the request to release (PS3.8 9.2), not even an answer.

        Whoever reports at this very moment gets none, and reports again on another association.
        """
        with self._lock:
            self._closed = True

    def _serve(self, message: Any, context_id: int) -> None:
        if not isinstance(message, N_EVENT_REPORT):
            return
        with self._lock:
            if self._closed:
                return
            response = N_EVENT_REPORT()
            response.MessageIDBeingRespondedTo = message.MessageID
            response.AffectedSOPClassUID = message.AffectedSOPClassUID
            response.AffectedSOPInstanceUID = message.AffectedSOPInstanceUID
            response.Status = _take(self._association, message, context_id, self._on_report)
            with suppress(OSError, RuntimeError):  # the association has ended
                self._association.dimse.send_msg(response, context_id)
            if response.Status == _SUCCESS:
                self.taken.set()


def _take(
    association: Association, message: N_EVENT_REPORT, context_id: int, on_report: Callable[[CommitmentReport], bool]
) -> int:
    try:
        (syntax,) = [one.transfer_syntax[0] for one in association.accepted_contexts if one.context_id == context_id]
        encoded = message.EventInformation.getvalue() if message.EventInformation else b""
        report = read_report(decoded(encoded, transfer_syntax_uid=syntax))
        return _SUCCESS if on_report(report) else _NO_SUCH_INSTANCE
    except ValueError:
        return _INVALID_ARGUMENT
    except Exception as error:  # noqa: BLE001 (whatever could not be recorded: the peer shall report again)
        _log.error("commitment_report_not_taken", error=type(error).__name__)
        return PROCESSING_FAILURE
