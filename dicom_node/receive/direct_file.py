"""Files written past the page cache, in large aligned pieces.

What is received is forced to the disk before it is acknowledged, so the page cache could only add to the work: a copy,
pages to be found for it, and their write-back. For a CT image of 512 KiB that is most of the processor time that its
file costs. Whoever reads the file reads it from the disk, once.
"""

import errno
import fcntl
import mmap
import os
from collections import deque
from pathlib import Path

#: How much of a file is gathered before it is written: all of a CT image of 512 x 512.
BUFFER_BYTES = 1024 * 1024
# Direct writes begin and end at multiples of the disk's logical block, and so does their memory: no disk has larger ones.
_BLOCK = 4096
_DIRECT = getattr(os, "O_DIRECT", 0)


class BufferPool:
    """Page-aligned memory for files that are being written, used again and again: one buffer for each at a time."""

    def __init__(self) -> None:
        self._free: deque[memoryview] = deque()

    def take(self) -> memoryview:
        """A buffer of :data:`BUFFER_BYTES`, holding anything."""
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(mmap.mmap(-1, BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))

    def give(self, buffer: memoryview) -> None:
        """Take `buffer` back."""
        self._free.append(buffer)


class DirectFile:
    """A new file, written from beginning to end.

    Where the file system knows no direct writes (``EINVAL``), the page cache is used after all.

    Parameters
    ----------
    path
        The file, which must not exist.
    buffers
        Where the memory comes from, and goes to when the file is closed.

    Raises
    ------
    OSError
        From every method: what the disk or the file system says.
    """

    def __init__(self, path: Path, *, buffers: BufferPool) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        self._buffers = buffers
        self._buffer = buffers.take()
        self._filled = 0
        self._is_direct = False
        self._may_be_direct = bool(_DIRECT)

    def append(self, data: bytes | memoryview) -> None:
        """Add bytes at the end; they may still be in the buffer when this returns."""
        start = 0
        while start < len(data):
            count = min(len(data) - start, BUFFER_BYTES - self._filled)
            self._buffer[self._filled : self._filled + count] = data[start : start + count]
            self._filled += count
            start += count
            if self._filled == BUFFER_BYTES:
                self._flush()

    def finish(self) -> None:
        """Give the file system all that is in the buffer; nothing may be added afterwards."""
        self._flush()
        if self._filled:
            # The end that fills no block goes through the page cache.
            self._set_direct(False)
            self._write(self._buffer[: self._filled])
            self._filled = 0

    def sync(self) -> None:
        """Force the file's bytes and its size to the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Give descriptor and memory back. What was not flushed is lost."""
        os.close(self._descriptor)
        self._buffers.give(self._buffer)

    def _flush(self) -> None:
        """Write the whole blocks in the buffer, and move the rest to its beginning."""
        whole = self._filled - self._filled % _BLOCK
        if not whole:
            return
        if not self._is_direct:
            self._set_direct(True)
        self._write(self._buffer[:whole])
        self._buffer[: self._filled - whole] = self._buffer[whole : self._filled]
        self._filled -= whole

    def _write(self, data: memoryview) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError as error:
                # Also what a write cut short by a nearly full disk leaves behind, which may be no whole block.
                if error.errno != errno.EINVAL or not self._is_direct:
                    raise
                self._may_be_direct = False
                self._set_direct(False)

    def _set_direct(self, direct: bool) -> None:
        if direct == self._is_direct or (direct and not self._may_be_direct):
            return
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | _DIRECT if direct else flags & ~_DIRECT)
            self._is_direct = direct
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._may_be_direct = False
