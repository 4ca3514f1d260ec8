"""A node's own folder in a data_dir that several share."""

import subprocess
import sys
from pathlib import Path

from dicom_node.service.own_folder import OwnFolder


def test_folder_of_a_living_node_stays_and_that_of_a_killed_one_goes(tmp_path: Path) -> None:
    living = OwnFolder(tmp_path)
    living.path.mkdir()
    hold = "import sys, pathlib; from dicom_node.service.own_folder import OwnFolder; "
    hold += (
        "own = OwnFolder(pathlib.Path(sys.argv[1])); own.path.mkdir(); print(own.path, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        killed = Path(holder.stdout.readline().strip())
        third = OwnFolder(tmp_path)
        assert killed.is_dir()
        holder.kill()
    assert killed.is_dir()

    fourth = OwnFolder(tmp_path)

    assert not killed.exists()
    assert living.path.is_dir()
    for one in (living, third, fourth):
        one.release()
    assert list(tmp_path.iterdir()) == []
