"""One node per data_dir: a second one would requeue the work that the first has at hand."""

import fcntl
import os
from pathlib import Path
from typing import Self

from dicom_node.errors import NodeError


class DataDirLock:
    """An exclusive lock on a folder, held until `release` or the end of the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "node.lock"
        self._descriptor: int | None = None

    def acquire(self) -> Self:
        """Take the lock.

        Raises
        ------
        NodeError
            ``already_running`` or ``data_dir_unusable``.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise NodeError(
                "data_dir_unusable",
                f"The folder {self._path.parent} cannot be used: {error.strerror or error}.",
                "Set node.data_dir to a folder that the node may write to.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise NodeError(
                "already_running",
                f"Another node works in {self._path.parent}.",
                "Stop it, or give this one a node.data_dir of its own.",
            ) from error
        self._descriptor = descriptor
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
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
