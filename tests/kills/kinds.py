"""The kinds of worlds a campaign runs in: one node on SQLite, three on PostgreSQL, one whose models run on a Ray cluster."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import postgres
from tests.kills.points import POINTS, Point
from tests.kills.points_of_ray import POINTS_OF_RAY
from tests.kills.points_of_several import POINTS_OF_SEVERAL
from tests.kills.world import World, world
from tests.paths import ROOT

#: A world, and what its points need beside it.
Made = tuple[World, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of world and where it is struck."""

    points: Sequence[Point]
    make: Callable[[Path], AbstractContextManager[Made]]


@contextmanager
def _sqlite(folder: Path) -> Iterator[Made]:
    with world(folder) as made:
        yield made, {}


@contextmanager
def _postgresql(folder: Path) -> Iterator[Made]:
    with (
        postgres.server() as server,
        world(folder, names=("a", "b", "c"), database=server.url(server.create())) as made,
    ):
        yield made, {"server": server}


@contextmanager
def _ray(folder: Path) -> Iterator[Made]:
    """A head without a place for actors, and two machines with one each."""
    os.environ |= {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        compute = {"executor": "ray", "ray": {"address": cluster.address, "workers": 1, "gpus": 0}}
        with world(folder, compute=compute) as made:
            yield made, {"cluster": cluster}
    finally:
        cluster.shutdown()


KINDS = {
    "sqlite": Kind(points=POINTS, make=_sqlite),
    "postgresql": Kind(points=POINTS_OF_SEVERAL, make=_postgresql),
    "ray": Kind(points=POINTS_OF_RAY, make=_ray),
}
