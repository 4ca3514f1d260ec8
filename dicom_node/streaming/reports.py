"""N-EVENT-REPORT requests to the peer of an association that it has opened (PS3.7 10.3.1), and its answers."""

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import structlog
from pynetdicom.dimse_primitives import N_EVENT_REPORT

from dicom_node.streaming.command_set import Command
from dicom_node.streaming.service import EventReport

_log = structlog.get_logger(__name__)


class Reports:
    """Those of one association; from its own threads."""

    def __init__(self) -> None:
        self._sent = 0
        self._unanswered: dict[int, Callable[[int | None], None]] = {}

    def begin(self, report: EventReport) -> N_EVENT_REPORT:
        """The message to send."""
        self._sent += 1
        message = N_EVENT_REPORT()
        message.MessageID = (self._sent - 1) % 65535 + 1
        message.AffectedSOPClassUID = report.sop_class_uid
        message.AffectedSOPInstanceUID = report.sop_instance_uid
        message.EventTypeID = report.event_type
        message.EventInformation = BytesIO(report.data_set)
        self._unanswered[message.MessageID] = report.told
        return message

    def answered(self, response: Command) -> None:
        """An N-EVENT-REPORT-RSP has come; one that answers nothing is passed over."""
        told = self._unanswered.pop(response.message_id, None)
        if told is not None:
            _tell(told, response.status)

    def end(self) -> None:
        """The association is over."""
        with suppress(KeyError):
            while True:
                _, told = self._unanswered.popitem()
                _tell(told, None)


def _tell(told: Callable[[int | None], None], status: int | None) -> None:
    try:
        told(status)
    except Exception as error:  # noqa: BLE001 - a fault of ours, which must end no association
        _log.exception("report_not_noted", error=type(error).__name__)
