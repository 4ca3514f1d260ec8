"""Who may read what the node keeps: its user and its group, and nobody else."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

#: Permissions of files and folders with images or their identifiers.
FILE_MODE, FOLDER_MODE = 0o640, 0o750
# What the group may not do, and others may not at all.
_TAKEN = 0o027


def keep_private() -> None:
    """Let this process make no file that others may read; call where a process begins. Its own children inherit it."""
    os.umask(_TAKEN)


def make_private(paths: Iterable[Path]) -> int:
    """Take away what others may do with files or folders that are there already; returns how many were changed.

    What belongs to another user cannot be changed and is left; links are not followed.
    """
    changed = 0
    for path in paths:
        try:
            found = path.lstat().st_mode
            if stat.S_ISLNK(found) or not found & _TAKEN:
                continue
            path.chmod(stat.S_IMODE(found) & ~_TAKEN)
            changed += 1
        except OSError:
            continue
    return changed
