"""Work in several processes: results with their tasks, errors as they are, and nothing left running when the parent is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT
from train.errors import TrainError
from train.processes import in_processes

_PARENT = """
import sys
from pathlib import Path
from tests.unit.train.test_processes import linger
from train.processes import in_processes

if __name__ == "__main__":
    for _ in in_processes(linger, [Path(name) for name in sys.argv[1:]], 2):
        pass
"""


def square(number: int) -> int:
    if number == 13:
        raise ValueError("thirteen")
    return number * number


def fall(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def linger(path: Path) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(120)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_with_their_tasks_and_errors_as_they_are(workers: int) -> None:
    assert dict(in_processes(square, [1, 2, 3], workers)) == {1: 1, 2: 4, 3: 9}
    with pytest.raises(ValueError, match="thirteen"):
        list(in_processes(square, [1, 13], workers))


def test_a_worker_that_was_killed_is_named() -> None:
    with pytest.raises(TrainError) as caught:
        list(in_processes(fall, [1, 2], 2))
    assert caught.value.code == "worker_died"


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    notes = [tmp_path / "a", tmp_path / "b"]
    command = [sys.executable, str(script), *map(str, notes)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as parent:
        _until(lambda: all(note.exists() and note.read_text() for note in notes))
        workers = [int(note.read_text()) for note in notes]
        assert all(map(_runs, workers))
        parent.kill()
    _until(lambda: not any(map(_runs, workers)))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(holds: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)
