"""A small disk of its own (tmpfs), which can be filled to its end and made read-only while it is used."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_PIECES = (2**20, 2**16, 2**12, 1)


class Disk:
    """A disk mounted at ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave not a byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for piece in _PIECES:
                with suppress(OSError):  # full, for so much
                    while file.write(b"\0" * piece):
                        pass

    def free(self) -> None:
        """Give back what filling took."""
        self._ballast.unlink()

    @contextmanager
    def read_only(self, below: Path) -> Iterator[None]:
        """Nothing can be opened for writing below a folder of it; what is open stays so, and so needs not to be closed before."""
        _mount("--bind", str(below), str(below))
        try:
            _mount("-o", "remount,bind,ro", str(below))
            yield
        finally:
            _unmount(below)


@contextmanager
def small_disk(folder: Path, *, mib: int) -> Iterator[Disk]:
    """A disk of so many MiB; skips the test where mounting is not allowed."""
    folder.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        pytest.skip(f"no disk can be mounted here: {said.decode(errors='replace').strip()}")
    try:
        yield Disk(folder)
    finally:
        _unmount(folder)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def _unmount(folder: Path) -> None:
    """At once, or when the last file on it is closed."""
    with suppress(subprocess.CalledProcessError):
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
