"""Received files that no row names: their rows written anew, from what the files say themselves.

They come about when the node is killed between a file and its row, and when the catalog is lost, emptied or restored
from a backup. In the latter cases their senders were told that we hold them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from dicom_node.catalog import Catalog, NewInstance, Outcome
from dicom_node.config import Settings
from dicom_node.errors import ReceiveError
from dicom_node.receive.identifiers import HEAD_BYTES, is_uid, read_identifiers
from dicom_node.receive.spool import Spool, holds
from s2ldm_core.problem import Problem

_log = structlog.get_logger(__name__)

_CHUNK_BYTES = 1024 * 1024
#: Long work says now and then how far it is.
_TELL_EVERY = 1000
# Files in one transaction.
_BATCH = 50
_UNKNOWN = "UNKNOWN"
# The preamble and the prefix, then the group length's element, explicit VR (PS3.10 7.1).
_GROUP_LENGTH_AT = 132 + 8
_META_AT = _GROUP_LENGTH_AT + 4


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """How many files got a row of a series, were held already and were removed, or went to quarantine."""

    recorded: int = 0
    same: int = 0
    quarantined: int = 0

    def __bool__(self) -> bool:
        return bool(self.recorded or self.same or self.quarantined)


class SpoolRecovery:
    """Finds received files that no row names, and records them."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._catalog = catalog
        self._routes = settings.routes
        self._spool = Spool(settings.node.data_dir, min_free_bytes=0)

    def prepare(self) -> None:
        """Make the spool's folders where they are missing."""
        self._spool.prepare()

    def run(self, *, sealed_before: float) -> Recovered:
        """Record every sealed file without a row that is older than ``sealed_before`` (seconds since the epoch).

        A younger one may be on its way to its row at this moment.
        """
        named = self._catalog.named_files()
        received = [path for path in self._spool.sealed() if path.name not in named and _older(path, sealed_before)]
        apart = [path for path in self._spool.quarantined() if path.name not in named and _older(path, sealed_before)]
        counts = {"recorded": 0, "same": 0, "quarantined": 0}
        received.sort(key=_modified)  # as they came
        for start in range(0, len(received), _BATCH):
            for outcome in self._record(received[start : start + _BATCH]):
                counts[outcome] += 1
            if start and start % _TELL_EVERY == 0:
                _log.info("spool_being_recorded", done=start, of=len(received))
        for path in apart:
            self._list_quarantined(path, _found("The object lies in quarantine, and no row says why."))
            counts["quarantined"] += 1
        recovered = Recovered(**counts)
        if recovered:
            _log.warning("spool_recorded_anew", **counts)
        return recovered

    def _record(self, paths: Sequence[Path]) -> Iterator[str]:
        """Record some files in one transaction; what became of each."""
        readable = []
        for path in paths:
            try:
                readable.append(read_received(path))
            except (ReceiveError, OSError, InvalidDicomError, EOFError, ValueError, AttributeError) as error:
                self._set_apart(path, getattr(error, "problem", None) or _found("The file could not be read back."))
                yield "quarantined"
        outcomes = self._catalog.add_instances(readable, is_there=holds)
        for instance, outcome in zip(readable, outcomes, strict=True):
            if outcome is Outcome.CONFLICT:
                self._set_apart(instance.path, _found("Another object is held under its SOP Instance UID."))
                yield "quarantined"
            elif outcome is Outcome.SAME and not self._catalog.is_held_file(instance):
                instance.path.unlink(missing_ok=True)
                yield "same"
            else:
                yield "recorded"

    def _set_apart(self, path: Path, problem: Problem) -> None:
        self._list_quarantined(self._spool.quarantine(path), problem)

    def _list_quarantined(self, path: Path, problem: Problem) -> None:
        route = next(iter(self._routes))
        self._catalog.quarantine_object(
            route=route,
            calling_ae=_UNKNOWN,
            peer=_UNKNOWN.lower(),
            association_id=None,
            sop_instance_uid="",
            path=path,
            size=path.stat().st_size,
            reason=problem,
            phase=self._routes[route].phase,
            model=self._routes[route].model,
        )


def read_received(
    path: Path, *, route: str | None = None, calling_ae: str | None = None, peer: str | None = None
) -> NewInstance:
    """What the row of a received file says, from its file meta information (`dicom_node.receive.file_meta`) and its data set.

    ``route``, ``calling_ae``, ``peer``: where known, else from the file.

    Raises
    ------
    ReceiveError, OSError, EOFError, ValueError, AttributeError
        It is no such file, or does not say what it is (pydicom's `InvalidDicomError` among them).
    """
    meta = read_file_meta_info(path)
    syntax = str(meta.TransferSyntaxUID)
    named = str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)
    if not all(map(is_uid, named)):
        raise ValueError("not named by UIDs")
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        file.seek(_GROUP_LENGTH_AT)
        offset = _META_AT + int.from_bytes(file.read(4), "little")
        file.seek(offset)
        head = file.read(HEAD_BYTES)
        chunk = head
        while chunk:
            digest.update(chunk)
            size += len(chunk)
            chunk = file.read(_CHUNK_BYTES)
    identifiers = read_identifiers(head, transfer_syntax_uid=syntax, path=path, offset=offset)
    return NewInstance(
        series_instance_uid=identifiers.series_instance_uid,
        study_instance_uid=identifiers.study_instance_uid,
        sop_instance_uid=named[1],
        sop_class_uid=named[0],
        transfer_syntax_uid=syntax,
        path=path,
        digest=digest.hexdigest(),
        size=offset + size,
        route=route or str(meta.get("ReceivingApplicationEntityTitle", _UNKNOWN)).strip(),
        calling_ae=calling_ae or str(meta.get("SourceApplicationEntityTitle", _UNKNOWN)).strip(),
        peer=peer or _UNKNOWN.lower(),
        received_at=datetime.fromtimestamp(_modified(path), UTC),
    )


def _found(sentence: str) -> Problem:
    return Problem(
        "found_without_row",
        f"{sentence} It was found in data_dir without an entry in the catalog.",
        "Nothing need be done: it is removed after retention.quarantine_days.",
    )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def _older(path: Path, moment: float) -> bool:
    return 0.0 < _modified(path) < moment
