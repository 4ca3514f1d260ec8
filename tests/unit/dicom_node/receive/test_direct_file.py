"""Files written past the page cache: whatever the lengths, and where the file system does not let us."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.receive.direct_file import BUFFER_BYTES, BufferPool, DirectFile


def write(path: Path, pieces: list[bytes], *, buffers: BufferPool | None = None) -> None:
    file = DirectFile(path, buffers=buffers or BufferPool())
    for piece in pieces:
        file.append(memoryview(piece))
    file.finish()
    file.sync()
    file.close()


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 4097, BUFFER_BYTES - 1, BUFFER_BYTES, 2 * BUFFER_BYTES + 4097])
def test_a_file_holds_what_was_appended_whatever_its_length(tmp_path: Path, length: int) -> None:
    content = os.urandom(length)
    write(tmp_path / "file", [content[:7], content[7:5000], content[5000:]])
    assert (tmp_path / "file").read_bytes() == content


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Length of each write, and whether it was direct."""
    seen: list[tuple[int, bool]] = []
    original: Callable[[int, memoryview], int] = os.write

    def record(descriptor: int, data: memoryview) -> int:
        seen.append((len(data), bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)))
        return original(descriptor, data)

    monkeypatch.setattr(os, "write", record)
    return seen


def test_whole_blocks_are_written_directly_and_the_end_is_not(tmp_path: Path, writes: list[tuple[int, bool]]) -> None:
    write(tmp_path / "file", [bytes(BUFFER_BYTES + 3 * 4096 + 1)])
    assert writes == [(BUFFER_BYTES, True), (3 * 4096, True), (1, False)]


def test_a_file_system_without_direct_writes_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[tuple[int, bool]]
) -> None:
    original: Callable[..., int] = os.open

    def refuse(path: Path, flags: int, mode: int) -> int:
        if flags & os.O_DIRECT:
            os.close(original(path, flags & ~os.O_DIRECT, mode))
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return original(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    content = os.urandom(BUFFER_BYTES + 5000)
    write(tmp_path / "file", [content])
    assert {direct for _, direct in writes} == {False}
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == content


def test_a_write_cut_short_in_the_middle_of_a_block_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[[int, memoryview], int] = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: original(descriptor, data[: max(1, len(data) // 2)]))
    content = os.urandom(3 * 4096 + 100)
    write(tmp_path / "file", [content])
    assert (tmp_path / "file").read_bytes() == content


def test_an_error_of_the_disk_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = DirectFile(tmp_path / "file", buffers=BufferPool())
    file.append(bytes(5000))
    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        file.finish()
    file.close()


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"first")
    with pytest.raises(FileExistsError):
        DirectFile(tmp_path / "file", buffers=BufferPool())
    assert (tmp_path / "file").read_bytes() == b"first"


def test_files_one_after_the_other_share_a_buffer_and_those_side_by_side_do_not(tmp_path: Path) -> None:
    buffers = BufferPool()
    first = buffers.take()
    buffers.give(first)
    write(tmp_path / "file", [b"content"], buffers=buffers)
    assert buffers.take() is first
    assert buffers.take() is not first
