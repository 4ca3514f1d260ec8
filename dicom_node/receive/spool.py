"""Received data sets on disk: each a DICOM Part 10 file whose data set bytes are those that came over the wire."""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import structlog

from dicom_node.errors import ReceiveError
from dicom_node.private import FOLDER_MODE
from dicom_node.receive.direct_file import BufferPool, DirectFile
from dicom_node.receive.file_meta import Provenance, file_meta
from dicom_node.receive.identifiers import HEAD_BYTES

_SHARD_COUNT = 256
_PART = ".part"
# Folder entries that can be on their way to the disk at once; more associations than that wait for each other.
_SYNCHRONISERS = 8
# How long one look at the free space is good for; what arrives meanwhile is little beside the reserve.
_FREE_SECONDS = 0.5


_log = structlog.get_logger(__name__)


class SpoolFile:
    """One data set while it streams to disk.

    A failure to write is remembered instead of raised: the rest of the data set must be taken off the wire before the
    peer can be told (PS3.7 9.3.1).

    Parameters
    ----------
    path
        Where the file shall stand.
    provenance
        For the file meta information.
    synchroniser
        Forces the folder's entry to the disk while this thread does the same for the file's bytes.
    buffers
        Memory to gather bytes in before they are written.

    Attributes
    ----------
    path
        Where the file stands once it is sealed: a random name, no part of which comes from the wire. Until then it has
        the suffix ``.part``, so that what a crash cut off is known for what it is.
    offset
        Where the data set begins in the file.
    size
        Bytes of the data set so far.
    head
        The first `HEAD_BYTES` of the data set.
    """

    def __init__(self, path: Path, provenance: Provenance, *, synchroniser: Executor, buffers: BufferPool) -> None:
        meta = file_meta(provenance)
        self.provenance = provenance
        self._synchroniser = synchroniser
        self.path = path
        self._part = path.with_suffix(_PART)
        self.offset = len(meta)
        self.size = 0
        self.head = bytearray()
        self._digest = hashlib.sha256()
        self._error: OSError | None = None
        self._file: DirectFile | None = None
        try:
            self._file = DirectFile(self._part, buffers=buffers)
        except OSError as error:
            self._error = error
            return
        self._write(meta)

    @property
    def length(self) -> int:
        """Bytes of the file so far, the file meta information before the data set included."""
        return self.offset + self.size

    @property
    def digest(self) -> str:
        """SHA-256 of the data set (not of the file meta information, which differs with the peer), hexadecimal."""
        return self._digest.hexdigest()

    def append(self, fragment: bytes | memoryview) -> None:
        """Add the next bytes of the data set."""
        self.size += len(fragment)
        self._digest.update(fragment)
        if len(self.head) < HEAD_BYTES:
            self.head += fragment[: HEAD_BYTES - len(self.head)]
        self._write(fragment)

    def seal(self) -> None:
        """Give the file its name, and force its bytes and its folder's entry to the disk.

        Raises
        ------
        ReceiveError
            ``disk_full`` or ``disk_error`` if any byte could not be written; the file is gone then.
        """
        if self._error is None and self._file is not None:
            try:
                self._file.finish()
                os.rename(self._part, self.path)
                # Side by side, both usually ride on one commit of the file system's journal.
                entry = self._synchroniser.submit(sync_folders, [self.path.parent])
                try:
                    self._file.sync()
                finally:
                    entry.result()
            except OSError as error:
                self._error = error
        if self._error is not None:
            self.discard()
            raise _disk_error(self._error) from self._error
        self._close()

    def discard(self) -> None:
        """Remove the file. One that the disk does not let go is left to the sweep of orphans; the peer is answered all the same."""
        self._close()
        for path in (self._part, self.path):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                if path.exists():
                    _log.warning("file_not_removed", reason=error.strerror or type(error).__name__)

    def _write(self, data: bytes | memoryview) -> None:
        if self._file is None or self._error is not None:
            return
        try:
            self._file.append(data)
        except OSError as error:
            self._error = error

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Spool:
    """The folders for received data sets and for those that cannot go on.

    Parameters
    ----------
    data_dir
        The node's data folder; ``incoming`` and ``quarantine`` are made below it.
    min_free_bytes
        Below this much free space nothing more is accepted.
    """

    def __init__(self, data_dir: Path, *, min_free_bytes: int) -> None:
        self._incoming = data_dir.absolute() / "incoming"
        self._quarantine = data_dir.absolute() / "quarantine"
        self._min_free_bytes = min_free_bytes
        self._free_bytes = 0
        self._free_until = 0.0
        self._buffers = BufferPool()
        self._synchroniser = ThreadPoolExecutor(max_workers=_SYNCHRONISERS, thread_name_prefix="spool")

    def prepare(self) -> None:
        """Make the folders, so that no folder has to be made (and forced to disk) while an object waits."""
        for folder in (
            self._quarantine,
            self._incoming,
            *(self._incoming / f"{shard:02x}" for shard in range(_SHARD_COUNT)),
        ):
            folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        sync_folders([self._incoming.parent, self._incoming])

    def close(self) -> None:
        """End the threads; nothing may be received any more."""
        self._synchroniser.shutdown()

    def sweep(self) -> int:
        """Remove files that were being written when the node was last killed, and return how many.

        They were never acknowledged: the sender has the objects, and knows that we do not. Only to be called while
        nothing is being received.
        """
        unfinished = list(self._incoming.glob(f"*/*{_PART}"))
        for path in unfinished:
            path.unlink()
        return len(unfinished)

    def sealed(self) -> list[Path]:
        """All received files that are complete."""
        return list(self._incoming.glob("*/*.dcm"))

    def quarantined(self) -> list[Path]:
        """All files in quarantine."""
        return list(self._quarantine.glob("*.dcm"))

    def check_free(self) -> None:
        """Raise `ReceiveError` (``disk_low``, ``disk_error``) if the disk is too full to accept an object, or gone."""
        now = time.monotonic()
        if now >= self._free_until:
            try:
                self._free_bytes = shutil.disk_usage(self._incoming).free
            except OSError as error:
                raise _disk_error(error) from error
            self._free_until = now + _FREE_SECONDS
        free = self._free_bytes
        if free < self._min_free_bytes:
            raise ReceiveError(
                "disk_low",
                f"Only {free // 2**20} MiB are free for received images; below {self._min_free_bytes // 2**20} MiB "
                "nothing more is accepted.",
                "Free space on the disk of data_dir, or shorten the retention; senders may then send again.",
            )

    def new_path(self) -> Path:
        """Where another file may stand, under a name that no part of comes from the wire."""
        name = uuid4().hex
        return self._incoming / name[:2] / f"{name}.dcm"

    def create(self, provenance: Provenance, *, shard: str) -> SpoolFile:
        """Begin a file in the folder that `shard` (two hexadecimal digits) names."""
        path = self._incoming / shard / f"{uuid4().hex}.dcm"
        return SpoolFile(path, provenance, synchroniser=self._synchroniser, buffers=self._buffers)

    def quarantine(self, path: Path) -> Path:
        """Move a sealed file to quarantine, durably, and return its new path."""
        target = self._quarantine / path.name
        os.rename(path, target)
        sync_folders([self._quarantine, path.parent])
        return target

    def take_back(self, path: Path) -> Path:
        """Move a file out of quarantine to the received ones, durably, and return its new path."""
        target = self._incoming / path.name[:2] / path.name
        if not (target.parent.is_dir() and path.parent == self._quarantine):
            target = self._incoming / "00" / f"{uuid4().hex}.dcm"
        os.rename(path, target)
        sync_folders([target.parent, path.parent])
        return target


def holds(path: Path, size: int) -> bool:
    """Whether a sealed file is there with all of its `size` bytes; a row of before may count the data set alone."""
    try:
        return path.stat().st_size >= size
    except OSError:
        return False


def sync_folders(folders: Iterable[Path]) -> None:
    """Force the entries of `folders` to the disk: without this a file itself safe on disk may have lost its name."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _disk_error(error: OSError) -> ReceiveError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ReceiveError(
            "disk_full",
            "The disk for received images is full; the object was not kept and the sender was told so.",
            "Free space on the disk of data_dir, then let the sender send again.",
        )
    return ReceiveError(
        "disk_error",
        f"The disk for received images failed ({errno.errorcode.get(error.errno or 0, 'unknown error')}); the object "
        "was not kept and the sender was told so.",
        "Check the disk of data_dir and its permissions, then let the sender send again.",
    )
