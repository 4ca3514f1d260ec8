"""Files that are either there in full or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_path(path: Path, *, ending: str = "") -> Iterator[Path]:
    """A path beside ``path`` whose file takes its place when the block ends; removed if it raises.

    For writers that open files themselves, some of which need to see an ``ending``. Nothing brings the bytes to disk.
    """
    partial = path.with_name(f".{path.name}.part{ending}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_file(path: Path, *, durable: bool = True, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file that appears under ``path`` only once it is complete; removed if the block raises.

    Parameters
    ----------
    durable
        Whether its bytes are on disk before it appears. The folder's entry is not until `sync_folder`.
    mode
        Permissions, less the process's mask.
    """
    with atomic_path(path) as partial:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(partial, flags, mode), "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())


def replace_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a text file (UTF-8) that a killed process leaves as it was or complete; not durable, as in `atomic_path`."""
    with atomic_file(path, durable=False, mode=mode) as file:
        file.write(text.encode())


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
