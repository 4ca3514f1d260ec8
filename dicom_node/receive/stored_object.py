"""The object of one C-STORE request: bytes to disk, row to catalog, and only then the answer (PS3.4 annex B)."""

import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog import Outcome
from dicom_node.errors import CatalogError, ReceiveError
from dicom_node.receive.admission import Admission
from dicom_node.receive.identifiers import Identifiers, is_uid, read_identifiers
from dicom_node.receive.spool import SpoolFile
from dicom_node.receive.storage import StorageService
from dicom_node.streaming import Answer, ExcessError, status

_log = structlog.get_logger(__name__)


class StoredObject:
    """An object on its way to disk (a `dicom_node.streaming.Sink`).

    Success is answered when the bytes, their folder entry and their catalog row are on disk, and never before.

    An object that cannot be read as DICOM is kept in quarantine with its reason, and answered with the warning 0xB007
    rather than a failure: we do hold the bytes, and after a failure many senders stop in the middle of the series or
    offer the same object again for ever.

    Parameters
    ----------
    storage
        Where it goes.
    admission
        The association that it comes over.
    file
        Its file.
    """

    def __init__(self, storage: StorageService, admission: Admission, file: SpoolFile) -> None:
        self._storage = storage
        self._admission = admission
        self._file = file
        self._limits = storage.limits
        self._deadline = _Deadline(self._limits.max_seconds)
        self._refusal: ReceiveError | None = None

    def write(self, fragment: memoryview) -> None:
        """Take the next fragment of the data set, as long as it may grow; then its file goes at once."""
        self._deadline.check()
        if self._refusal is not None:
            return
        self._file.append(fragment)
        try:
            if self._file.size > self._limits.max_bytes:
                raise ReceiveError(
                    "object_too_large",
                    f"The object is larger than {self._limits.max_bytes // 2**20} MiB; it was not kept and the sender "
                    "was told so.",
                    "Raise node.max_object_mib if such objects are to be received.",
                )
            self._storage.check_free()
        except ReceiveError as refusal:
            self._refusal = refusal
            self.discard()

    def discard(self) -> None:
        """Remove the file."""
        self._file.discard()

    def finish(self) -> Answer:
        """Store the object and say how it went."""
        try:
            answer, outcome = self._store()
        except ReceiveError as error:
            self.discard()
            answer, outcome = _refuse(self._admission, error), error.code
        except (CatalogError, SQLAlchemyError, OSError) as error:
            # No row, so no object: what the disk holds of it must not outlive the answer.
            self.discard()
            _log.error("catalog_unavailable", route=self._admission.route, error=type(error).__name__)
            unavailable = catalog_unavailable()
            answer, outcome = _refuse(self._admission, unavailable), unavailable.code
        self._storage.answered(self._admission, outcome=outcome, size=self._file.size)
        return answer

    def _store(self) -> tuple[Answer, str]:
        file = self._file
        if self._refusal is not None:
            raise self._refusal
        if file.size == 0:
            self.discard()
            return Answer(status.CANNOT_UNDERSTAND, "no data set"), "no_data_set"
        file.seal()
        try:
            identifiers = read_identifiers(
                bytes(file.head),
                transfer_syntax_uid=file.provenance.transfer_syntax_uid,
                path=file.path,
                offset=file.offset,
            )
        except ReceiveError as error:
            self._storage.quarantine(file, self._admission, error)
            comment = "not readable as DICOM, kept in quarantine"
            return Answer(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING, comment), error.code
        if not self._matches(identifiers):
            mismatch = ReceiveError(
                "command_mismatch",
                "The object's own SOP Class UID or SOP Instance UID differs from what the sender announced; its bytes "
                "were kept in quarantine.",
                "Correct the object on the sending system, and send the series again.",
            )
            self._storage.quarantine(file, self._admission, mismatch)
            comment = "data set and command name different objects"
            return Answer(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, comment), mismatch.code
        if not self._is_named():
            nameless = ReceiveError(
                "announced_uid_invalid",
                "The SOP Class UID or SOP Instance UID that the sender announced for the object is not a DICOM UID; its "
                "bytes were kept in quarantine.",
                "Correct the UIDs on the sending system, and send the series again.",
            )
            self._storage.quarantine(file, self._admission, nameless)
            return Answer(status.INVALID_OBJECT_INSTANCE, "not a UID"), nameless.code
        return Answer(status.SUCCESS), str(self._record(identifiers))

    def _is_named(self) -> bool:
        """Whether the command names the object, by UIDs of the form of PS3.5 9.1: all that follows relies on them."""
        announced = self._file.provenance
        return is_uid(announced.sop_class_uid) and is_uid(announced.sop_instance_uid)

    def _matches(self, identifiers: Identifiers) -> bool:
        announced = self._file.provenance
        sop_class_matches = identifiers.sop_class_uid in ("", announced.sop_class_uid)
        return sop_class_matches and identifiers.sop_instance_uid in ("", announced.sop_instance_uid)

    def _record(self, identifiers: Identifiers) -> Outcome:
        outcome = self._storage.record(self._file, self._admission, identifiers)
        if outcome is Outcome.SAME:
            self.discard()
        elif outcome is Outcome.CONFLICT:
            conflict = ReceiveError(
                "content_conflict",
                "The object was sent before with other content under the same SOP Instance UID; the first was kept, "
                "this one was put in quarantine.",
                "Find out which of the two is right; a changed object needs a SOP Instance UID of its own.",
            )
            self._storage.quarantine(self._file, self._admission, conflict, series_uid=identifiers.series_instance_uid)
        return outcome


class RefusedObject:
    """An object that may not be kept: the peer can only be told once it has sent everything (PS3.7 9.3.1)."""

    def __init__(self, storage: StorageService, admission: Admission, refusal: ReceiveError) -> None:
        self._storage = storage
        self._admission = admission
        self._refusal = refusal
        self._deadline = _Deadline(storage.limits.max_seconds)

    def write(self, fragment: memoryview) -> None:
        """Let the fragment pass."""
        self._deadline.check()

    def discard(self) -> None:
        """Nothing was kept."""

    def finish(self) -> Answer:
        """Say why nothing was kept."""
        answer = _refuse(self._admission, self._refusal)
        self._storage.answered(self._admission, outcome=self._refusal.code, size=0)
        return answer


class _Deadline:
    """Until when an object must have ended: one that never does would hold its association and what it fills for ever."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def check(self) -> None:
        if time.monotonic() > self._ends_at:
            raise ExcessError("an object that does not end")


def catalog_unavailable() -> ReceiveError:
    """Why nothing can be kept while the catalog cannot be written."""
    return ReceiveError(
        "catalog_unavailable",
        "The catalog cannot be written, so the object was not kept and the sender was told so.",
        "Free space on the disk of data_dir and check its permissions, then let the sender send again.",
    )


def _refuse(admission: Admission, error: ReceiveError) -> Answer:
    _log.warning("object_refused", route=admission.route, reason=error.code)
    code = status.NOT_AUTHORISED if error.code == "not_a_route" else status.OUT_OF_RESOURCES
    return Answer(code, error.code.replace("_", " "))
