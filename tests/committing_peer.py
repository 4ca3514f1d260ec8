"""An archive that is asked to keep what it was sent (storage commitment, PS3.4 annex J), by pynetdicom, and answers as told."""

import threading
from collections.abc import Callable, Collection
from typing import Any

from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance, Verification

HOST = "127.0.0.1"


class CommittingPeer:
    """A storage SCP; ``received`` lists SOP Instance UIDs as they came, ``asked`` what each N-ACTION names, ``told`` the answers to reports
    that were made at once.

    ``at_once``: whether it answers on the association on which it was asked. ``lacks`` gives the number of a request, from
    1 on, and the UIDs in it, to those that it does not keep.
    """

    def __init__(
        self,
        port: int,
        *,
        at_once: bool = False,
        commits: bool = True,
        status: int = 0x0000,
        lacks: Callable[[int, list[str]], Collection[str]] = lambda number, uids: (),
        failure: int = 0x0112,
    ) -> None:
        self.received: list[str] = []
        self.asked: list[list[str]] = []
        self.requests: list[Dataset] = []
        self.told: list[int | None] = []
        self._at_once, self._status, self._lacks, self._failure = at_once, status, lacks, failure
        self._threads: list[threading.Thread] = []
        entity = AE(ae_title="PACS")
        entity.add_supported_context(Verification)
        entity.add_supported_context(SecondaryCaptureImageStorage)
        if commits:
            entity.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action)]
        self._server = entity.start_server((HOST, port), block=False, evt_handlers=handlers)

    def close(self) -> None:
        self.await_reports()
        self._server.shutdown()

    def await_reports(self) -> None:
        """Until those that were made at once are answered, or never will be."""
        for thread in self._threads:
            thread.join(10)

    def report(self, number: int = 1) -> Dataset:
        """What it says about a request, from 1 on."""
        request = self.requests[number - 1]
        uids = [str(item.ReferencedSOPInstanceUID) for item in request.ReferencedSOPSequence]
        lacks = set(self._lacks(number, uids))
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        kept = [item for item in request.ReferencedSOPSequence if item.ReferencedSOPInstanceUID not in lacks]
        failed = [item for item in request.ReferencedSOPSequence if item.ReferencedSOPInstanceUID in lacks]
        if kept:
            report.ReferencedSOPSequence = kept
        for item in failed:
            item.FailureReason = self._failure
        if failed:
            report.FailedSOPSequence = failed
        return report

    def call_back(
        self, port: int, number: int = 1, *, called: str = "S2LDM", report: Dataset | None = None
    ) -> int | None:
        """Report on an association of its own to ``port``, by role selection (PS3.7 D.3.3.4); the status of the answer."""
        entity = AE(ae_title="PACS")
        entity.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        association = entity.associate(HOST, port, ae_title=called, ext_neg=[role])
        if not association.is_established:
            return None
        try:
            return tell(association, self.report(number) if report is None else report)
        finally:
            association.release()

    def _store(self, event: evt.Event) -> int:
        self.received.append(event.request.AffectedSOPInstanceUID)
        return 0x0000

    def _action(self, event: evt.Event) -> tuple[int, None]:
        request = event.action_information
        self.requests.append(request)
        self.asked.append([str(item.ReferencedSOPInstanceUID) for item in request.ReferencedSOPSequence])
        if self._at_once and self._status == 0x0000:
            number = len(self.requests)
            thread = threading.Thread(target=lambda: self.told.append(tell(event.assoc, self.report(number))))
            self._threads.append(thread)
            thread.start()
        return self._status, None


def leave_answers_to_the_sender(association: Association) -> None:
    """Keep pynetdicom's own thread from finding, and dropping, an answer that a sender waits for; requests it finds no more."""
    take = association.dimse.get_msg

    def take_when_awaited(block: bool = False) -> Any:
        return take(block=True) if block else (None, None)

    association.dimse.get_msg = take_when_awaited


def tell(association: Association, report: Dataset) -> int | None:
    """N-EVENT-REPORT; the status of the answer, None if there is none."""
    leave_answers_to_the_sender(association)
    kind = 2 if "FailedSOPSequence" in report else 1
    answer, _ = association.send_n_event_report(
        report, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    status: Any = answer.get("Status")
    return None if status is None else int(status)
