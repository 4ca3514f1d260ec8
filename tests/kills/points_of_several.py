"""What is killed of several nodes on one PostgreSQL, and of the database itself."""

import psutil

from tests.kills.looking import APPLICATION
from tests.kills.points import POINTS, Point
from tests.kills.scene import MissedError, Scene
from tests.postgres import Server

#: The advisory lock that the node that leads holds (`dicom_node.catalog.engines.postgresql`).
_LEADER = (
    "SELECT pid, client_port FROM pg_stat_activity WHERE pid IN"
    " (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 1395805252 AND objid = 2)"
)
#: Of the points of one node, those at which it is known which node is at work: the one that its sender speaks to.
_OF_ONE = (
    "listener: half an object",
    "listener: between two answers",
    "listener: at random",
    "worker: loading its model",
    "worker: at random",
    "node: starting",
    "node: half an object",
    "node: between two answers",
    "node: after the last answer",
    "node: at random",
)


def _backend(scene: Scene) -> None:
    """SIGKILL to a server process: the server ends all others and recovers."""
    scene.send()
    scene.pause(0.0, 4.0)
    found = scene.world.look.rows(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND application_name <> ? ORDER BY pid",
        APPLICATION,
    )
    if not found:
        raise MissedError("no node is connected")
    scene.kill_pid(scene.random.choice(found)[0], "backend of PostgreSQL")
    scene.world.note_unrecorded()


def _leaders_connection(scene: Scene) -> None:
    """The connection that holds the lead is cut (``pg_terminate_backend``)."""
    server: Server = scene.extra["server"]
    scene.send()
    scene.pause(0.0, 4.0)
    pid, _ = _leader(scene)
    if server.execute(f"SELECT pg_terminate_backend({pid})") != [(True,)]:
        raise MissedError("the leader's connection is gone")
    scene.victims.append("leader's connection")
    scene.world.note_unrecorded()


def _leading_node(scene: Scene) -> None:
    _, port = _leader(scene)
    for name in scene.world.names:
        process = psutil.Process(scene.world.nodes[name].process.pid)
        if any(one.laddr.port == port for one in process.net_connections("tcp")):
            scene.name = name
            scene.send()
            scene.pause(0.0, 4.0)
            scene.kill_node()
            return
    raise MissedError("the lead has moved")


def _leader(scene: Scene) -> tuple[int, int]:
    """The server process that holds the lead for a node, and that node's port of the connection."""
    found = scene.moment(lambda: scene.world.look.rows(_LEADER), "a node to lead")
    return found[0][0], found[0][1]


POINTS_OF_SEVERAL = (
    *(one for one in POINTS if one.name in _OF_ONE),
    Point(name="PostgreSQL: a backend", watched="0 to 4 s after the sender begins; any node's", strike=_backend),
    Point(
        name="PostgreSQL: the leader's connection",
        watched="pg_locks; 0 to 4 s after the sender begins",
        strike=_leaders_connection,
    ),
    Point(
        name="node: the one that leads",
        watched="pg_locks; 0 to 4 s after the sender begins",
        strike=_leading_node,
    ),
)
