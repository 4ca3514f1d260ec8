"""C-STORE: bytes to disk, row to catalog, and only then the answer (PS3.4 annex B)."""

from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog import Catalog, NewInstance, Outcome
from dicom_node.config import Settings
from dicom_node.errors import CatalogError, ReceiveError
from dicom_node.receive import status
from dicom_node.receive.admission import Admission
from dicom_node.receive.association import Answer
from dicom_node.receive.command_set import Command
from dicom_node.receive.file_meta import Provenance
from dicom_node.receive.group_commit import GroupCommit
from dicom_node.receive.header import Identifiers, read_identifiers
from dicom_node.receive.spool import Spool, SpoolFile
from s2ldm_core.problem import Problem

_log = structlog.get_logger(__name__)


class ReceiveObserver(Protocol):
    """Told what the listener does; for metrics. Called from many threads, and must not block."""

    def stored(self, *, route: str, outcome: str, size: int) -> None:
        """A C-STORE was answered; `outcome` is ``new``, ``same``, ``conflict`` or a reason code, `size` in bytes."""

    def rejected(self, *, reason: str) -> None:
        """An association was turned away."""

    def associations(self, *, opened: int) -> None:
        """An association began (1) or ended (-1)."""


class StorageService:
    """Answers C-STORE requests.

    Success is answered when the bytes, their folder entry and their catalog row are on disk, and never before.

    An object that cannot be read as DICOM is kept in quarantine with its reason, and answered with the warning 0xB007
    rather than a failure: we do hold the bytes, and after a failure many senders stop in the middle of the series or
    offer the same object again for ever.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        *,
        spool: Spool,
        observer: ReceiveObserver | None = None,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._spool = spool
        self._observer = observer
        self._commits = GroupCommit(catalog)

    def open_sink(self, command: Command, *, transfer_syntax_uid: str, admission: Admission) -> "StoredObject":
        """Where the data set that follows `command` goes."""
        try:
            if admission.route is None:
                raise ReceiveError(
                    "not_a_route",
                    f"The AE title {admission.called_ae!r} answers C-ECHO only.",
                    "Send to the AE title of a route.",
                )
            self._spool.check_free()
        except ReceiveError as refusal:
            return StoredObject(self, command, transfer_syntax_uid, admission, file=None, refusal=refusal)
        provenance = Provenance(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            calling_ae=admission.calling_ae,
            called_ae=admission.called_ae,
        )
        file = self._spool.create(provenance, shard=admission.shard)
        return StoredObject(self, command, transfer_syntax_uid, admission, file=file)

    def commit(self, instance: NewInstance) -> Outcome:
        """Record the instance durably."""
        return self._commits.commit(instance)

    def quarantine(
        self, stored: "StoredObject", file: SpoolFile, error: ReceiveError, *, series_instance_uid: str | None = None
    ) -> None:
        """Keep the bytes where the administrator finds them, with the reason."""
        admission = stored.admission
        path = self._spool.quarantine(file.path)
        route = self._settings.routes[admission.called_ae]
        self._catalog.quarantine_object(
            route=admission.called_ae,
            calling_ae=admission.calling_ae,
            peer=admission.peer,
            association_id=admission.id,
            sop_instance_uid=stored.command.sop_instance_uid,
            path=path,
            size=file.size,
            reason=Problem(code=error.code, sentence=error.sentence, remedy=error.remedy),
            series_instance_uid=series_instance_uid,
            phase=route.phase,
            model=route.model,
        )
        _log.warning("object_quarantined", route=admission.route, calling_ae=admission.calling_ae, reason=error.code)

    def answered(self, admission: Admission, *, outcome: str, size: int) -> None:
        """Tell the observer."""
        if self._observer is not None:
            self._observer.stored(route=admission.route or "", outcome=outcome, size=size)


class StoredObject:
    """The object of one C-STORE request, on its way to disk (a `dicom_node.receive.association.StoreSink`).

    Parameters
    ----------
    file
        Where the data set goes, None to let it pass.
    refusal
        Why nothing may be kept; the peer can only be told once it has sent everything.
    """

    def __init__(
        self,
        service: StorageService,
        command: Command,
        transfer_syntax_uid: str,
        admission: Admission,
        *,
        file: SpoolFile | None,
        refusal: ReceiveError | None = None,
    ) -> None:
        self.command = command
        self.admission = admission
        self._service = service
        self._transfer_syntax_uid = transfer_syntax_uid
        self._file = file
        self._refusal = refusal

    def append(self, fragment: memoryview) -> None:
        """Take the next fragment of the data set."""
        if self._file is not None:
            self._file.append(fragment)

    def discard(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.discard()

    def finish(self) -> Answer:
        """Store the object and say how it went."""
        size = self._file.size if self._file is not None else 0
        try:
            answer, outcome = self._store()
        except ReceiveError as error:
            self.discard()
            _log.warning("object_refused", route=self.admission.route, reason=error.code)
            code = status.NOT_AUTHORISED if error.code == "not_a_route" else status.OUT_OF_RESOURCES
            answer, outcome = (code, error.code.replace("_", " ")), error.code
        except (CatalogError, SQLAlchemyError, OSError) as error:
            # No row, so no object: what the disk holds of it must not outlive the answer.
            self.discard()
            _log.error("catalog_unavailable", route=self.admission.route, error=type(error).__name__)
            answer, outcome = (status.OUT_OF_RESOURCES, "catalog cannot be written"), "catalog_unavailable"
        self._service.answered(self.admission, outcome=outcome, size=size)
        return answer

    def _store(self) -> tuple[Answer, str]:
        if self._refusal is not None:
            raise self._refusal
        file = self._file
        if file is None or file.size == 0:
            self.discard()
            return (status.CANNOT_UNDERSTAND, "no data set"), "no_data_set"
        file.seal()
        try:
            identifiers = read_identifiers(
                bytes(file.head), transfer_syntax_uid=self._transfer_syntax_uid, path=file.path, offset=file.offset
            )
        except ReceiveError as error:
            self._service.quarantine(self, file, error)
            comment = "not readable as DICOM, kept in quarantine"
            return (status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING, comment), error.code
        if not self._matches(identifiers):
            mismatch = ReceiveError(
                "command_mismatch",
                "The object's own SOP Class UID or SOP Instance UID differs from what the sender announced; its bytes "
                "were kept in quarantine.",
                "Correct the object on the sending system, and send the series again.",
            )
            self._service.quarantine(self, file, mismatch)
            comment = "data set and command name different objects"
            return (status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, comment), mismatch.code
        return self._record(file, identifiers)

    def _matches(self, identifiers: Identifiers) -> bool:
        command = self.command
        return (identifiers.sop_class_uid or command.sop_class_uid) == command.sop_class_uid and (
            identifiers.sop_instance_uid or command.sop_instance_uid
        ) == command.sop_instance_uid

    def _record(self, file: SpoolFile, identifiers: Identifiers) -> tuple[Answer, str]:
        outcome = self._service.commit(
            NewInstance(
                series_instance_uid=identifiers.series_instance_uid,
                study_instance_uid=identifiers.study_instance_uid,
                sop_instance_uid=self.command.sop_instance_uid,
                sop_class_uid=self.command.sop_class_uid,
                transfer_syntax_uid=self._transfer_syntax_uid,
                path=file.path,
                digest=file.digest,
                size=file.size,
                route=self.admission.called_ae,
                calling_ae=self.admission.calling_ae,
                peer=self.admission.peer,
                association_id=self.admission.id,
            )
        )
        if outcome is Outcome.SAME:
            file.discard()
        elif outcome is Outcome.CONFLICT:
            conflict = ReceiveError(
                "content_conflict",
                "The object was sent before with other content under the same SOP Instance UID; the first was kept, "
                "this one was put in quarantine.",
                "Find out which of the two is right; a changed object needs a SOP Instance UID of its own.",
            )
            self._service.quarantine(self, file, conflict, series_instance_uid=identifiers.series_instance_uid)
        return (status.SUCCESS, ""), str(outcome)
