"""Who works in a data_dir: one node, or several that share a database as well."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from dicom_node.errors import NodeError
from dicom_node.private import FILE_MODE, FOLDER_MODE


class DataDirLock:
    """A lock on a folder, held until `release` or the end of the process, however it ends.

    Exclusive for a node with a catalog of its own, as a second one would requeue the work that the first has at hand.
    ``several``: shared with the other nodes on the same database, and with these alone.
    """

    def __init__(self, folder: Path, *, several: bool = False) -> None:
        self._path = folder / "node.lock"
        self._kind = fcntl.LOCK_SH if several else fcntl.LOCK_EX
        self._descriptor: int | None = None

    def acquire(self) -> Self:
        """Take the lock.

        Raises
        ------
        NodeError
            ``already_running`` or ``data_dir_unusable``.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                # A lock, not a file in place of one: that would outlive a killed process.
                fcntl.flock(descriptor, self._kind | fcntl.LOCK_NB)
            except BaseException:
                os.close(descriptor)
                raise
        except BlockingIOError as error:
            raise NodeError(
                "already_running",
                f"Another node works in {self._path.parent}.",
                "Stop it, or give this one a node.data_dir of its own. Several nodes share one with PostgreSQL alone.",
            ) from error
        except OSError as error:
            raise NodeError(
                "data_dir_unusable",
                f"The folder {self._path.parent} cannot be used: {error.strerror or error}.",
                "Set node.data_dir to a folder that the node may write to.",
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
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
