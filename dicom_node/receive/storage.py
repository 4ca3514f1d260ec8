"""C-STORE: bytes to disk, row to catalog, and only then the answer (PS3.4 annex B)."""

from typing import Any, Protocol, cast

import structlog
from pydicom.dataset import Dataset
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.events import Event
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog import Catalog, NewInstance, Outcome, Reason
from dicom_node.config import Settings
from dicom_node.errors import ReceiveError
from dicom_node.receive import status
from dicom_node.receive.admission import Admission
from dicom_node.receive.group_commit import GroupCommit
from dicom_node.receive.header import read_identifiers
from dicom_node.receive.spool import Provenance, Spool, SpoolFile
from dicom_node.receive.upper_layer import DatasetSink, ReceivingAssociation

_log = structlog.get_logger(__name__)

_C_STORE_RQ = 0x0001


class ReceiveObserver(Protocol):
    """Told what the listener does; for metrics. Called from many threads, and must not block."""

    def stored(self, *, route: str, outcome: str, size: int) -> None:
        """A C-STORE was answered; `outcome` is ``new``, ``same``, ``conflict`` or a reason code, `size` in bytes."""

    def rejected(self, *, reason: str) -> None:
        """An association was turned away."""

    def associations(self, *, opened: int) -> None:
        """An association began (1) or ended (-1)."""


class SpoolSink(DatasetSink):
    """Streams the data set of one C-STORE request to the spool.

    Whatever is wrong is remembered as ``refusal`` until the request is complete and can be answered.

    Attributes
    ----------
    file
        The file, or None if nothing has come or nothing may be kept.
    refusal
        Why the object is not kept.
    """

    def __init__(self, message: DIMSEMessage, *, admission: Admission, transfer_syntaxes: dict[int, str], spool: Spool):
        super().__init__()
        self.file: SpoolFile | None = None
        self.refusal: ReceiveError | None = None
        self._message = message
        self._admission = admission
        self._transfer_syntaxes = transfer_syntaxes
        self._spool = spool
        self._begun = False

    def write(self, fragment: Any) -> int:
        """Take the next fragment; the first one opens the file, because the command set is known by then."""
        if not self._begun:
            self._begun = True
            self._begin()
        if self.file is not None:
            self.file.append(fragment)
        return len(fragment)

    def discard(self) -> None:
        """Remove the file."""
        if self.file is not None:
            self.file.discard()
            self.file = None

    def _begin(self) -> None:
        command = self._message.command_set
        context_id = self._message.context_id
        if command.get("CommandField") != _C_STORE_RQ or context_id not in self._transfer_syntaxes:
            return
        if self._admission.route is None:
            self.refusal = ReceiveError(
                "not_a_route",
                f"The AE title {self._admission.called_ae!r} answers C-ECHO only.",
                "Send to the AE title of a route.",
            )
            return
        try:
            self._spool.check_free()
        except ReceiveError as refusal:
            self.refusal = refusal
            return
        self.file = self._spool.create(
            Provenance(
                sop_class_uid=str(command.AffectedSOPClassUID),
                sop_instance_uid=str(command.AffectedSOPInstanceUID),
                transfer_syntax_uid=self._transfer_syntaxes[context_id],
                calling_ae=self._admission.calling_ae,
                called_ae=self._admission.called_ae,
            ),
            shard=self._admission.shard,
        )


class StorageService:
    """Answers C-STORE requests.

    Success is answered when the bytes, their folder entry and their catalog row are on disk, and never before.

    An object that cannot be read as DICOM is kept in quarantine with its reason, and answered with the warning 0xB007
    rather than a failure: we do hold the bytes, and after a failure many senders stop in the middle of the series or
    offer the same object again for ever.
    """

    def __init__(
        self, settings: Settings, catalog: Catalog, *, spool: Spool, commits: GroupCommit, observer: ReceiveObserver | None
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._spool = spool
        self._commits = commits
        self._observer = observer

    def open_sink(self, association: ReceivingAssociation, message: DIMSEMessage) -> DatasetSink:
        """Where the data set of the message that now begins goes."""
        if association.admission is None:
            raise ReceiveError("not_admitted", "A message came before the association was accepted.")
        syntaxes = {number: str(context.transfer_syntax[0]) for number, context in association._accepted_cx.items()}
        return SpoolSink(message, admission=association.admission, transfer_syntaxes=syntaxes, spool=self._spool)

    def handle_store(self, event: Event) -> int | Dataset:
        """Handle ``evt.EVT_C_STORE``: the data set has been streamed to its sink."""
        request = event.request
        admission = cast(ReceivingAssociation, event.assoc).admission
        sink = cast(SpoolSink, request.DataSet)
        if admission is None or not isinstance(sink, SpoolSink):
            return status.CANNOT_UNDERSTAND
        try:
            answer, outcome = self._store(sink, request, str(event.context.transfer_syntax), admission)
        except ReceiveError as error:
            sink.discard()
            answer, outcome = self._refuse(error, admission)
        except (SQLAlchemyError, OSError) as error:
            # No row, so no object: whatever the disk holds of it must not outlive the answer.
            sink.discard()
            _log.error("catalog_unavailable", route=admission.route, error=type(error).__name__)
            answer = status.with_comment(status.OUT_OF_RESOURCES, "catalog cannot be written")
            outcome = "catalog_unavailable"
        if self._observer is not None:
            size = sink.file.size if sink.file is not None else 0
            self._observer.stored(route=admission.route or "", outcome=outcome, size=size)
        return answer

    def _store(
        self, sink: SpoolSink, request: Any, transfer_syntax_uid: str, admission: Admission
    ) -> tuple[int | Dataset, str]:
        if sink.refusal is not None:
            raise sink.refusal
        file, route = sink.file, admission.route
        if file is None or route is None:
            return status.with_comment(status.CANNOT_UNDERSTAND, "no data set"), "no_data_set"
        file.seal()
        try:
            identifiers = read_identifiers(
                bytes(file.head), transfer_syntax_uid=transfer_syntax_uid, path=file.path, offset=file.offset
            )
        except ReceiveError as error:
            self._quarantine(file, request, admission, route, error)
            comment = "not readable as DICOM, kept in quarantine"
            return status.with_comment(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING, comment), error.code
        sop_class_uid, sop_instance_uid = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        if (identifiers.sop_class_uid or sop_class_uid) != sop_class_uid or (
            identifiers.sop_instance_uid or sop_instance_uid
        ) != sop_instance_uid:
            mismatch = ReceiveError(
                "command_mismatch",
                "The object's own SOP Class UID or SOP Instance UID differs from what the sender announced; its bytes were "
                "kept in quarantine.",
                "Correct the object on the sending system, and send the series again.",
            )
            self._quarantine(file, request, admission, route, mismatch)
            comment = "data set and command name different objects"
            return status.with_comment(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, comment), mismatch.code
        outcome = self._commits.commit(
            NewInstance(
                series_instance_uid=identifiers.series_instance_uid,
                study_instance_uid=identifiers.study_instance_uid,
                sop_instance_uid=sop_instance_uid,
                sop_class_uid=sop_class_uid,
                transfer_syntax_uid=transfer_syntax_uid,
                path=file.path,
                digest=file.digest,
                size=file.size,
                route=route,
                calling_ae=admission.calling_ae,
                peer=admission.peer,
                association_id=admission.id,
            )
        )
        if outcome is Outcome.SAME:
            file.discard()
        elif outcome is Outcome.CONFLICT:
            conflict = ReceiveError(
                "content_conflict",
                "The object was sent before with other content under the same SOP Instance UID; the first was kept, this "
                "one was put in quarantine.",
                "Find out which of the two is right; a changed object needs a SOP Instance UID of its own.",
            )
            self._quarantine(file, request, admission, route, conflict, identifiers.series_instance_uid)
        return status.SUCCESS, str(outcome)

    def _quarantine(
        self,
        file: SpoolFile,
        request: Any,
        admission: Admission,
        route: str,
        error: ReceiveError,
        series_instance_uid: str | None = None,
    ) -> None:
        path = self._spool.quarantine(file.path)
        file.path = path
        configured = self._settings.routes[route]
        self._catalog.quarantine_object(
            route=route,
            calling_ae=admission.calling_ae,
            peer=admission.peer,
            association_id=admission.id,
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            path=path,
            size=file.size,
            reason=Reason(code=error.code, sentence=error.sentence, remedy=error.remedy),
            series_instance_uid=series_instance_uid,
            phase=configured.phase,
            model=configured.model,
        )
        _log.warning("object_quarantined", route=route, calling_ae=admission.calling_ae, reason=error.code)

    def _refuse(self, error: ReceiveError, admission: Admission) -> tuple[Dataset, str]:
        _log.warning("object_refused", route=admission.route, calling_ae=admission.calling_ae, reason=error.code)
        code = status.NOT_AUTHORISED if error.code == "not_a_route" else status.OUT_OF_RESOURCES
        return status.with_comment(code, error.code.replace("_", " ")), error.code
