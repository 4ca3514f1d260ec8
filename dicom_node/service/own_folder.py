"""A folder of one node's own in a data_dir that several share, which outlives no node for long."""

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from dicom_node.private import FILE_MODE, FOLDER_MODE

_LOCK = ".lock"


class OwnFolder:
    """Below ``parent``, locked as long as this process lives; what nodes left that are gone is removed when it is made.

    Nobody may remove a living node's: it reads files there as memory, and would be ended if they were gone.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        self.path = parent / uuid4().hex
        self._descriptor = os.open(self.path.with_suffix(_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        for lock in parent.glob(f"*{_LOCK}"):
            if lock.stem != self.path.name:
                _remove_unless_held(lock)

    def release(self) -> None:
        """Remove it; the process may live on."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.with_suffix(_LOCK).unlink(missing_ok=True)
        os.close(self._descriptor)


def _remove_unless_held(lock: Path) -> None:
    with suppress(OSError):  # gone meanwhile, or held
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
