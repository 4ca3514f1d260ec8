"""DICOM files read within their bounds."""

import io
import os
from pathlib import Path
from typing import Any

from pydicom import FileDataset, dcmread


class BoundedFile(io.BufferedReader):
    """A file that is asked for no more than it has.

    A damaged element may claim a length of 4 GiB (PS3.5 7.1), which Python would take as memory before it looks how much
    there is.
    """

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(str(path))
        super().__init__(raw)
        self._size = os.fstat(raw.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes, fewer at the end."""
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = max(0, min(size, self._size - self.tell()))
        return super().read(size)


def read_within(path: Path, **options: Any) -> FileDataset:
    """`pydicom.dcmread` of a file whose elements may claim to be longer than the file; raises what that raises."""
    with BoundedFile(path) as file:
        return dcmread(file, **options)
