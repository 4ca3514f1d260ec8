"""Storage Commitment on the listener (PS3.4 annex J): what comes is gathered, recorded in the catalog, and then answered."""

import threading
from collections.abc import Callable

import structlog
from pydicom import Dataset
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog import Catalog
from dicom_node.commitment import decoded, read_report
from dicom_node.errors import CatalogError
from dicom_node.receive.admission import Admission
from dicom_node.receive.identifiers import is_uid
from dicom_node.streaming import Answer, Command, Sink, status

_log = structlog.get_logger(__name__)

#: Some 13,000 instances; as a data set it takes forty times the room, so one is read at a time.
MOST_BYTES = 2 * 1024 * 1024


class CommitmentDesk:
    """Takes the requests and reports of all associations. For use from several threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._one_at_a_time = threading.Lock()

    def begin(self, command: Command, admission: Admission, *, transfer_syntax_uid: str) -> Sink | None:
        """Where the data set that follows ``command`` goes; None: such a request is not served."""
        if command.is_event_report:
            return _Gathered(self._reported, self._one_at_a_time, admission, transfer_syntax_uid=transfer_syntax_uid)
        return None

    def _reported(self, dataset: Dataset) -> Answer:
        """A destination says what it keeps of what it was asked to (N-EVENT-REPORT, J.3.3)."""
        report = read_report(dataset)
        uid = report.transaction_uid
        known = is_uid(uid) and self._catalog.take_commitment(uid, committed=report.committed, failed=report.reasons)
        if not known:
            return Answer(status.NO_SUCH_OBJECT_INSTANCE, "no such transaction")
        _log.info("commitment_answered", transaction_uid=uid, kept=len(report.committed), not_kept=len(report.failed))
        return Answer(status.SUCCESS)


class _Gathered:
    """The data set of a request, gathered in memory (a `dicom_node.streaming.Sink`)."""

    def __init__(
        self,
        take: Callable[[Dataset], Answer],
        one_at_a_time: threading.Lock,
        admission: Admission,
        *,
        transfer_syntax_uid: str,
    ) -> None:
        self._take = take
        self._one_at_a_time = one_at_a_time
        self._admission = admission
        self._syntax = transfer_syntax_uid
        self._encoded = bytearray()
        self._too_large = False

    def write(self, fragment: memoryview) -> None:
        """Take the next fragment; beyond `MOST_BYTES` nothing is kept."""
        self._too_large = self._too_large or len(self._encoded) + len(fragment) > MOST_BYTES
        if self._too_large:
            self._encoded.clear()
        else:
            self._encoded += fragment

    def discard(self) -> None:
        """Nothing was recorded."""
        self._encoded.clear()

    def finish(self) -> Answer:
        """Record what it says, and say how that went."""
        try:
            answer = self._taken()
        except ValueError as error:
            answer = Answer(status.INVALID_ARGUMENT, str(error))
        except (CatalogError, SQLAlchemyError):
            answer = Answer(status.PROCESSING_FAILURE, "catalog unavailable")
        if answer.status != status.SUCCESS:
            who = self._admission
            _log.warning(
                "commitment_message_refused",
                calling_ae=who.calling_ae,
                peer=who.peer,
                status=f"0x{answer.status:04X}",
                why=answer.comment,
            )
        return answer

    def _taken(self) -> Answer:
        if self._too_large:
            return Answer(status.RESOURCE_LIMITATION, "more than the node takes at a time")
        with self._one_at_a_time:
            return self._take(decoded(bytes(self._encoded), transfer_syntax_uid=self._syntax))
