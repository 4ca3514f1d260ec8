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
def flags(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The flags that descriptors were set to."""
    seen: list[int] = []
    original: Callable[..., int] = fcntl.fcntl

    def record(descriptor: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETFL:
            seen.append(argument & os.O_DIRECT)
        return original(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", record)
    return seen


def test_whole_blocks_are_written_directly_and_the_end_is_not(tmp_path: Path, flags: list[int]) -> None:
    write(tmp_path / "file", [bytes(3 * BUFFER_BYTES + 1)])
    assert flags == [os.O_DIRECT, 0]


def test_less_than_a_block_is_not_written_directly(tmp_path: Path, flags: list[int]) -> None:
    write(tmp_path / "file", [bytes(4095)])
    assert flags == []


def test_a_file_system_without_direct_writes_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[..., int] = fcntl.fcntl

    def refuse(descriptor: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETFL and argument & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return original(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    content = os.urandom(BUFFER_BYTES + 5000)
    write(tmp_path / "file", [content])
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
