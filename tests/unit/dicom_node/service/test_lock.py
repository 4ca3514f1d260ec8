"""One node per data_dir."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dicom_node.errors import NodeError
from dicom_node.service.lock import DataDirLock


def test_second_node_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    first = DataDirLock(tmp_path).acquire()
    with pytest.raises(NodeError) as raised:
        DataDirLock(tmp_path).acquire()
    assert raised.value.code == "already_running"

    first.release()

    DataDirLock(tmp_path).acquire().release()


def test_nodes_on_one_database_share_a_folder_but_with_no_other(tmp_path: Path) -> None:
    first, second = (DataDirLock(tmp_path, several=True).acquire() for _ in range(2))
    assert DataDirLock.is_held(tmp_path)
    first.release()
    with pytest.raises(NodeError) as raised:
        DataDirLock(tmp_path).acquire()
    assert raised.value.code == "already_running"
    second.release()

    alone = DataDirLock(tmp_path).acquire()
    with pytest.raises(NodeError) as raised:
        DataDirLock(tmp_path, several=True).acquire()
    assert raised.value.code == "already_running"
    alone.release()


def test_folder_that_cannot_be_made_is_an_error_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(NodeError) as raised:
        DataDirLock(tmp_path / "file" / "var").acquire()

    assert raised.value.code == "data_dir_unusable"


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    hold = "import sys, pathlib; from dicom_node.service.lock import DataDirLock as Lock; "
    hold += "lock = Lock(pathlib.Path(sys.argv[1])).acquire(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert DataDirLock.is_held(tmp_path)
        holder.kill()

    assert not DataDirLock.is_held(tmp_path)
    DataDirLock(tmp_path).acquire().release()


def test_asking_whether_it_is_held_makes_nothing(tmp_path: Path) -> None:
    assert not DataDirLock.is_held(tmp_path / "var")

    assert not (tmp_path / "var").exists()


def test_another_thread_may_release_it(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path).acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()

    assert not DataDirLock.is_held(tmp_path)
