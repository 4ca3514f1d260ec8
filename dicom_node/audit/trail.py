"""The trail on disk: a file a day, a message a line, as it goes to a syslog server (RFC 5424)."""

import fcntl
import os
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from dicom_node.audit.events import of_people
from dicom_node.audit.messages import Event, xml_of
from dicom_node.private import FILE_MODE, FOLDER_MODE

#: Facility 10 (security), severity 5 (notice): PS3.15 A.6.
_PRIORITY = 10 * 8 + 5
_SUFFIX = ".log"
#: Messages that wait in memory while the disk takes none.
_MOST_WAITING = 10_000
#: Looks of one person at one series within so long are one.
_LOOK_SECONDS = 3600.0
_MOST_LOOKS = 10_000


class AuditTrail:
    """Appends messages; for use from several threads and processes.

    Parameters
    ----------
    folder
        Where the files are; made when the first message is written.
    node
        The node's AE title: the Audit Source ID.
    now
        Gives the time, timezone-aware.
    """

    def __init__(self, folder: Path, *, node: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder, self.node, self.now = folder, node, now
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._looks: OrderedDict[tuple[str, int], datetime] = OrderedDict()
        self._log = structlog.get_logger(part="audit")

    def append(self, event: Event) -> None:
        """Write a message, durably; raises OSError if that cannot be."""
        with self._lock:
            self._write(self._line(event))

    def record(self, event: Event) -> None:
        """Write a message, or keep it until it can be written: what it is about goes on."""
        with self._lock:
            self._waiting.append(self._line(event))
            try:
                self._flush()
            except OSError as error:
                self._log.error("audit_not_written", reason=error.strerror or type(error).__name__)

    def flush(self) -> None:
        """Write what waits; raises OSError if that still cannot be."""
        with self._lock:
            self._flush()

    def note(self, note: str, values: Mapping[str, object]) -> None:
        """Record what `dicom_node.people.accounts` notes."""
        event = of_people(self.node, note, values, at=self.now())
        if event is not None:
            self.record(event)

    def is_first_look(self, who: str, series_key: int) -> bool:
        """Whether somebody has not looked at a series for a while; asking counts as a look."""
        key, now = (who, series_key), self.now()
        with self._lock:
            last = self._looks.get(key)
            if last is not None and abs(now - last) < timedelta(seconds=_LOOK_SECONDS):
                return False
            self._looks[key] = now
            self._looks.move_to_end(key)
            while len(self._looks) > _MOST_LOOKS:
                self._looks.popitem(last=False)
            return True

    def remove_before(self, moment: datetime) -> int:
        """Remove the files of the days before that of ``moment``; how many."""
        old = [path for path in days(self.folder) if path.name < _name(moment)]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _flush(self) -> None:
        while self._waiting:
            self._write(self._waiting[0])
            self._waiting.popleft()

    def _line(self, event: Event) -> bytes:
        at = event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        host = socket.gethostname() or "-"
        head = f"<{_PRIORITY}>1 {at} {host} s2ldm-node {os.getpid()} DICOM+RFC3881 - "
        # RFC 5424 6.4: a message in UTF-8 begins with the byte order mark.
        return (head + "\N{ZERO WIDTH NO-BREAK SPACE}" + xml_of(event, source=self.node) + "\n").encode()

    def _write(self, line: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        path = self.folder / _name(self.now())
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # the one before was cut off with its process
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError("the disk took a part of the message")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


def days(folder: Path) -> list[Path]:
    """The files of a trail, oldest first."""
    return sorted(folder.glob(f"????-??-??{_SUFFIX}"))


def _name(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat() + _SUFFIX
