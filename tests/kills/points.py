"""Where a node is killed: each point has a name, and says what is watched from outside to hit it."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.kills.processes import EXAMINER, LISTENER, WORKER
from tests.kills.scene import MissedError, Scene, in_background
from tests.kills.series import SLICES
from tests.kills.world import KEPT_SECONDS
from tests.peers import PeerError

#: An image in the middle of a series.
_IMAGE = 2


@dataclass(frozen=True, kw_only=True)
class Point:
    """A moment at which something is killed."""

    name: str
    watched: str
    strike: Callable[[Scene], None]


def _listener_halfway(scene: Scene) -> None:
    scene.send(halfway={_IMAGE: lambda: scene.kill_child(LISTENER)})
    scene.await_victim()


def _listener_between(scene: Scene) -> None:
    scene.send(answered={_IMAGE: lambda: scene.kill_child(LISTENER)})
    scene.await_victim()


def _listener_before_ready(scene: Scene) -> None:
    known = scene.known_children()
    scene.send(answered={_IMAGE: lambda: scene.kill_child(LISTENER)})
    scene.await_victim()
    second = scene.newest_child(than=known)
    scene.pause(0.0, 0.8)
    scene.kill_pid(second, "listener before it listens")


def _worker_translating(scene: Scene) -> None:
    scene.send()
    scene.at("translating")
    scene.kill_child(WORKER)


def _worker_loading(scene: Scene) -> None:
    known = scene.known_children()
    scene.kill_child(WORKER)
    scene.send()
    second = scene.newest_child(than=known)
    scene.pause(0.1, 1.5)
    scene.kill_pid(second, "worker while it loads")


def _examiner(scene: Scene) -> None:
    scene.send()
    scene.at("selecting")
    scene.kill_child(EXAMINER)


def _node_starting(scene: Scene) -> None:
    scene.send(answered={_IMAGE: scene.kill_node})
    scene.await_victim()
    scene.world.note_unrecorded()
    starting = in_background(lambda: scene.world.start(scene.name))
    scene.moment(lambda: scene.world.process_of(scene.name), "the next node's process")
    scene.pause(0.2, 4.0)
    second = scene.world.process_of(scene.name)
    if second is None:
        raise PeerError("the next node did not start")
    scene.kill_pid(second, "node while it starts")
    starting.join()
    # It may have been ready; while it is taken down it has no command line any more, and lives.
    scene.moment(lambda: not scene.world.lives(scene.name), "that process' end")


def _node_halfway(scene: Scene) -> None:
    scene.send(halfway={_IMAGE: scene.kill_node})
    scene.await_victim()


def _node_between(scene: Scene) -> None:
    scene.send(answered={_IMAGE: scene.kill_node})
    scene.await_victim()


def _node_after_last(scene: Scene) -> None:
    scene.send(answered={SLICES - 1: scene.kill_node})
    scene.await_victim()


def _node_in(state: str) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        scene.send()
        scene.at(state)
        scene.kill_node()

    return strike


def _node_delivering(scene: Scene) -> None:
    _kill_after_accepted(scene, 1, pause_seconds=0.0)


def _node_before_row(scene: Scene) -> None:
    _kill_after_accepted(scene, SLICES - 2, pause_seconds=0.005)


def _kill_after_accepted(scene: Scene, count: int, *, pause_seconds: float) -> None:
    before = scene.world.accepted_count()
    scene.send()
    scene.moment(lambda: scene.world.accepted_count() >= before + count, "the destination to accept")
    scene.pause(pause_seconds, pause_seconds)
    scene.kill_node()


def _node_in_retention(scene: Scene) -> None:
    scene.send()
    scene.rest()
    paths = [Path(path) for (path,) in scene.world.look.rows("SELECT path FROM instances WHERE path IS NOT NULL")]
    if not paths:
        raise MissedError("no file waits for retention")
    scene.moment(lambda: not all(map(os.path.exists, paths)), "retention to remove a file", seconds=KEPT_SECONDS + 30.0)
    scene.kill_node()
    scene.send_again()


def _node_in_backup(scene: Scene) -> None:
    _in_backup(scene, lambda _: scene.kill_node())


def _backup_itself(scene: Scene) -> None:
    def kill(process: subprocess.Popen[bytes]) -> None:
        scene.kill_pid(process.pid, "backup")

    _in_backup(scene, kill)


def _in_backup(scene: Scene, kill: Callable[["subprocess.Popen[bytes]"], None]) -> None:
    """Kill something while ``s2ldm-node backup`` writes; a file that has the backup's name is a whole one."""
    target = scene.world.folder / "backup.sqlite"
    partial = target.with_name(f".{target.name}.part")
    scene.send()
    program = Path(sys.executable).with_name("s2ldm-node")
    command = [str(program), "backup", str(target), "--config", str(scene.world.config(scene.name))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        # Its file is made, renamed and gone within milliseconds.
        scene.moment(lambda: partial.exists() or process.poll() is not None, "the backup to be written")
        kill(process)
        code = process.wait()
    if code not in (0, -signal.SIGKILL):
        raise PeerError(f"backup ended with {code}")
    if target.exists():
        with closing(sqlite3.connect(target)) as copy:
            if copy.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                raise PeerError("the backup is half a file")


def _random_child(role: str) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        scene.send()
        scene.pause(0.0, 4.0)
        scene.kill_child(role)

    return strike


def _random_node(scene: Scene) -> None:
    scene.send()
    scene.pause(0.0, 4.0)
    scene.kill_node()


#: Of a node alone; those of several nodes stand in `tests.kills.points_of_several`.
POINTS = (
    Point(name="listener: half an object", watched="the sender's second PDU of an image", strike=_listener_halfway),
    Point(name="listener: between two answers", watched="the sender's 0x0000", strike=_listener_between),
    Point(
        name="listener: before it listens",
        watched="the process table, after another listener was killed",
        strike=_listener_before_ready,
    ),
    Point(name="listener: at random", watched="0 to 4 s after the sender begins", strike=_random_child(LISTENER)),
    Point(name="worker: translating", watched="the job's state", strike=_worker_translating),
    Point(
        name="worker: loading its model",
        watched="the process table, after another worker was killed",
        strike=_worker_loading,
    ),
    Point(name="worker: at random", watched="0 to 4 s after the sender begins", strike=_random_child(WORKER)),
    Point(name="examiner: selecting", watched="the job's state", strike=_examiner),
    Point(name="node: starting", watched="the process table; 0.2 to 4 s after it appears", strike=_node_starting),
    Point(name="node: half an object", watched="the sender's second PDU of an image", strike=_node_halfway),
    Point(name="node: between two answers", watched="the sender's 0x0000", strike=_node_between),
    Point(name="node: after the last answer", watched="the sender's 0x0000", strike=_node_after_last),
    Point(name="node: selecting", watched="the job's state", strike=_node_in("selecting")),
    Point(name="node: translating", watched="the job's state", strike=_node_in("translating")),
    Point(name="node: deriving", watched="the job's state", strike=_node_in("deriving")),
    Point(name="node: delivering", watched="the destination's first acceptance", strike=_node_delivering),
    Point(
        name="node: between an acceptance and its row",
        watched="the destination's last acceptance but two, and 5 ms",
        strike=_node_before_row,
    ),
    Point(
        name="node: in retention's sweep",
        watched="the first file that is gone; the series is then sent again",
        strike=_node_in_retention,
    ),
    Point(name="node: while a backup is made", watched="the backup's temporary file", strike=_node_in_backup),
    Point(name="backup: while it writes", watched="its temporary file", strike=_backup_itself),
    Point(name="node: at random", watched="0 to 4 s after the sender begins", strike=_random_node),
)
