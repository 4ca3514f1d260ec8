"""Which of a node's processes is which: told by what each holds open or has loaded, as they all have one command line."""

from contextlib import suppress
from pathlib import Path

import psutil

LISTENER, WORKER, EXAMINER = "listener", "worker", "examiner"
_SPAWNED = "multiprocessing.spawn"
#: What only the process that translates loads: the model's library, or Ray's.
_OF_WORKER = ("libtorch", "_raylet")


def children(pid: int) -> list[int]:
    """The processes that a node has started to work, the eldest first."""
    with suppress(psutil.NoSuchProcess):
        found = [one for one in psutil.Process(pid).children() if _is_spawned(one)]
        return [one.pid for one in sorted(found, key=lambda one: (one.create_time(), one.pid))]
    return []


def roles(pid: int, *, port: int) -> dict[str, int]:
    """Process IDs of a node that is ready, by role; a role is missing whose process is not there at the moment."""
    found: dict[str, int] = {}
    for child in children(pid):
        if _listens(child, port):
            found[LISTENER] = child
        elif _has_loaded(child):
            found[WORKER] = child
        else:
            found[EXAMINER] = child
    return found


def _is_spawned(process: psutil.Process) -> bool:
    try:
        return any(_SPAWNED in part for part in process.cmdline())
    except psutil.Error:
        return False


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


def _has_loaded(pid: int) -> bool:
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False
    return any(name in maps for name in _OF_WORKER)
