"""Storage Commitment on the listener (PS3.4 annex J): what comes is gathered, recorded in the catalog, and then answered."""

import threading
from datetime import timedelta
from functools import partial

import structlog
from pydicom import Dataset

from dicom_node.catalog import Catalog
from dicom_node.commitment import (
    ACTION_TYPE,
    SOP_CLASS,
    SOP_INSTANCE,
    CommitmentReport,
    encoded,
    read_report,
    read_request,
    report_data_set,
)
from dicom_node.config import SettingsSource
from dicom_node.receive.admission import Admission
from dicom_node.receive.answering import counts, place_of_peer
from dicom_node.receive.gathered import Gathered, Take
from dicom_node.receive.identifiers import is_uid
from dicom_node.receive.safekeeping import report_on
from dicom_node.streaming import Answer, Command, EventReport, Sink, status

_log = structlog.get_logger(__name__)

#: Requests that may wait for their answer.
_MOST_OPEN = 1000


class CommitmentDesk:
    """Takes the requests and reports of all associations. For use from several threads."""

    def __init__(self, settings: SettingsSource, catalog: Catalog) -> None:
        self._source, self._catalog = settings, catalog
        self._one_at_a_time = threading.Lock()

    def begin(self, command: Command, admission: Admission, *, transfer_syntax_uid: str) -> Sink | None:
        """Where the data set that follows ``command`` goes; None: such a request is not served."""
        if command.is_event_report:
            take: Take = self._reported
        elif command.is_action_request:
            take = partial(self._asked, command)
        else:
            return None
        return Gathered(take, self._one_at_a_time, admission, transfer_syntax_uid=transfer_syntax_uid)

    def _asked(self, command: Command, dataset: Dataset, admission: Admission, transfer_syntax_uid: str) -> Answer:
        """A sender asks whether what it sent is safe (N-ACTION, J.3.2).

        The request is in the catalog before it is answered. Who can be called is told by `CommitmentStep`, on another
        association; who cannot, on its own and at once.
        """
        if command.type_id != ACTION_TYPE:
            return Answer(status.NO_SUCH_ACTION, "no such action")
        if command.sop_instance_uid != SOP_INSTANCE:
            return Answer(status.NO_SUCH_OBJECT_INSTANCE, "no such instance")
        request = read_request(dataset)
        uids = [request.transaction_uid, *(uid for pair in request.instances for uid in pair)]
        if not request.instances or not all(map(is_uid, uids)):
            return Answer(status.INVALID_ARGUMENT, "no instances, or a UID that is none")
        if self._catalog.open_commitment_requests() >= _MOST_OPEN:
            return Answer(status.RESOURCE_LIMITATION, "too many requests wait")
        who = {"calling_ae": admission.calling_ae, "called_ae": admission.called_ae, "peer": admission.peer}
        can_be_called = place_of_peer(self._source.current.node.peers, **_caller(admission)) is not None
        patience = timedelta(seconds=self._source.current.node.dimse_timeout_seconds)
        number = self._catalog.add_commitment_request(
            request.transaction_uid,
            request.instances,
            **who,
            not_before=None if can_be_called else self._catalog.now() + patience,
        )
        _log.info(
            "commitment_requested", **who, transaction_uid=request.transaction_uid, instances=len(request.instances)
        )
        if can_be_called:
            return Answer(status.SUCCESS)
        report = report_on(self._catalog, request.transaction_uid, request.instances)
        return Answer(
            status.SUCCESS,
            then=EventReport(
                sop_class_uid=SOP_CLASS,
                sop_instance_uid=SOP_INSTANCE,
                event_type=report.event_type,
                data_set=encoded(report_data_set(report), transfer_syntax_uid=transfer_syntax_uid),
                told=partial(self._told, number, report),
            ),
        )

    def _told(self, number: int, report: CommitmentReport, code: int | None) -> None:
        """The sender has answered the report on its association with ``code``, or (None) ended that first."""
        if code == status.SUCCESS:
            self._catalog.finish_commitment_request(number)
            _log.info("commitment_reported", **counts(report))
        else:
            self._catalog.retry_commitment_request(number)  # another way is looked for

    def _reported(self, dataset: Dataset, admission: Admission, transfer_syntax_uid: str) -> Answer:
        """A destination says what it keeps of what it was asked to (N-EVENT-REPORT, J.3.3)."""
        report = read_report(dataset)
        uid = report.transaction_uid
        known = is_uid(uid) and self._catalog.take_commitment(uid, committed=report.committed, failed=report.reasons)
        if not known:
            return Answer(status.NO_SUCH_OBJECT_INSTANCE, "no such transaction")
        _log.info("commitment_answered", transaction_uid=uid, kept=len(report.committed), not_kept=len(report.failed))
        return Answer(status.SUCCESS)


def _caller(admission: Admission) -> dict[str, str]:
    return {"calling_ae": admission.calling_ae, "address": admission.peer}
