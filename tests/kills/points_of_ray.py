"""What is killed of a Ray cluster that translates for a node."""

from typing import Any

import psutil

from tests.kills.points import Point
from tests.kills.processes import WORKER, children
from tests.kills.scene import Scene

_ACTOR = "ray::Station"


def stations() -> list[psutil.Process]:
    """The actors' processes on this machine."""
    return [one for one in psutil.process_iter(["cmdline"]) if _ACTOR in " ".join(one.info["cmdline"] or ())]


def _actor(scene: Scene) -> None:
    scene.send()
    scene.at("translating")
    scene.kill_pid(_station(scene).pid, "actor")


def _actor_at_random(scene: Scene) -> None:
    scene.send()
    scene.pause(0.0, 4.0)
    scene.kill_pid(_station(scene).pid, "actor")


def _worker_of_actor(scene: Scene) -> None:
    found = scene.moment(lambda: [pid for one in stations() for pid in children(one.pid)], "the actor's process")
    scene.send()
    scene.at("translating")
    scene.kill_pid(found[-1], "actor's worker")


def _courier(scene: Scene) -> None:
    scene.send()
    scene.at("translating")
    scene.kill_child(WORKER)


def _raylet(scene: Scene) -> None:
    """The machine that the actor is on is lost; another takes its place in the cluster."""
    cluster: Any = scene.extra["cluster"]
    scene.send()
    scene.at("translating")
    raylet = _station(scene).ppid()
    machine = next(one for one in cluster.worker_nodes if one.all_processes["raylet"][0].process.pid == raylet)
    scene.kill_pid(raylet, "raylet")
    cluster.remove_node(machine, allow_graceful=False)
    cluster.add_node(num_cpus=1)


def _station(scene: Scene) -> psutil.Process:
    found = scene.moment(stations, "an actor")
    return found[0]


POINTS_OF_RAY = (
    Point(name="Ray: actor translating", watched="the job's state", strike=_actor),
    Point(name="Ray: actor at random", watched="0 to 4 s after the sender begins", strike=_actor_at_random),
    Point(name="Ray: actor's worker translating", watched="the job's state", strike=_worker_of_actor),
    Point(name="Ray: courier while translating", watched="the job's state", strike=_courier),
    Point(name="Ray: raylet while translating", watched="the job's state", strike=_raylet),
)
