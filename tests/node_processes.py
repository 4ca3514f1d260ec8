"""The processes of a running node, by what each does, and their memory."""

import re
from contextlib import suppress
from pathlib import Path

import psutil

from tests.peers import Peer

#: What a process does: the node itself, its listeners, the one that looks at series, the one with the model.
NODE, LISTENER, EXAMINER, WORKER = "node", "listener", "examiner", "worker"


def processes(node: Peer) -> dict[int, str]:
    """What each process of a node does, by its number.

    The listener is told by its port, the worker by its libraries; the examiner is what is left, so a worker that has not
    loaded them yet is taken for one.
    """
    root = psutil.Process(node.process.pid)
    found = {root.pid: NODE}
    for child in root.children(recursive=True):
        with suppress(psutil.Error):
            if "resource_tracker" in " ".join(child.cmdline()):
                continue
            if any(one.laddr.port == node.port for one in child.net_connections("tcp") if one.status == "LISTEN"):
                found[child.pid] = LISTENER
            elif "libtorch" in Path(f"/proc/{child.pid}/maps").read_text():
                found[child.pid] = WORKER
            else:
                found[child.pid] = EXAMINER
    return found


def memory_kib(pid: int, name: str = "VmRSS") -> int:
    """What the kernel says of a process's memory now, or at most so far (``VmHWM``); 0 if it is gone."""
    try:
        said = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(said[1]) if said else 0
