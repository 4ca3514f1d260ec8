"""One node per data_dir."""

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


def test_folder_that_cannot_be_made_is_an_error_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(NodeError) as raised:
        DataDirLock(tmp_path / "file" / "var").acquire()

    assert raised.value.code == "data_dir_unusable"
