"""One node per data_dir: a second one would requeue the work that the first has at hand."""

from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from dicom_node.errors import NodeError
from dicom_node.private import FOLDER_MODE


class DataDirLock:
    """An exclusive lock on a folder, held until `release` or the end of the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "node.lock"
        # Not thread-local: the thread that stops the node need not be the one that started it. No lock file in place of
        # a lock: it would outlive a killed process.
        self._lock = FileLock(self._path, blocking=False, thread_local=False, fallback_to_soft=False)

    def acquire(self) -> Self:
        """Take the lock.

        Raises
        ------
        NodeError
            ``already_running`` or ``data_dir_unusable``.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            self._lock.acquire()
        except Timeout as error:
            raise NodeError(
                "already_running",
                f"Another node works in {self._path.parent}.",
                "Stop it, or give this one a node.data_dir of its own.",
            ) from error
        except OSError as error:
            raise NodeError(
                "data_dir_unusable",
                f"The folder {self._path.parent} cannot be used: {error.strerror or error}.",
                "Set node.data_dir to a folder that the node may write to.",
            ) from error
        return self

    @classmethod
    def is_held(cls, folder: Path) -> bool:
        """Whether a node works in ``folder``; nothing is made there. A node that starts this very moment would fail."""
        if not (folder / "node.lock").exists():
            return False
        try:
            cls(folder).acquire().release()
        except NodeError as error:
            return error.code == "already_running"
        return False

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()
