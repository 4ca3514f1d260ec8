"""Actors on a Ray cluster: killed, cancelled, their machine lost; the job goes on elsewhere.

The cluster is real, its machines are two raylets on this one. Not covered here: GPUs, and a file system between machines.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydicom import dcmread

from dicom_node.translate.courier import Courier
from dicom_node.translate.executors.local import LocalExecutor
from dicom_node.translate.executors.ray import RayExecutor, RaySettings
from dicom_node.translate.messages import Disposition, Failed, Load, Progress, Translate, Translated
from tests.paths import ROOT
from tests.peers import wait_until
from tests.tiny_model import write_tiny_package

ray = pytest.importorskip("ray", reason="not installed: ray (pip install 's2ldm-node[ray]')")

SECONDS = 90.0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without a place for actors, and two machines with one each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(ROOT))
        environment.setenv("RAY_AUTH_MODE", "disabled")
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            made.add_node(num_cpus=1)
        yield made
        made.shutdown()


@pytest.fixture
def executor(cluster: Any) -> Iterator[RayExecutor]:
    executor = RayExecutor(RaySettings(address=cluster.address, gpus=0))
    yield executor
    executor.stop()


@pytest.fixture
def request_of(tmp_path: Path, write_ct_series: Any, package: Path) -> Callable[[int], Translate]:
    """``request_of(size)``: a series of 24 slices; of 256 pixels it takes seconds, long enough to interfere."""

    def make(size: int) -> Translate:
        paths = write_ct_series(np.zeros((24, size, size), dtype=np.float32))
        return Translate(
            paths=tuple(map(str, paths)),
            sop_instance_uids=tuple(dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in paths),
            folder=str(tmp_path / "work"),
            phase="arterial",
            model=str(package),
            device="cpu",
            threads=1,
        )

    return make


def ask(
    executor: RayExecutor | LocalExecutor,
    request: Translate,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Translated | Failed | None:
    return executor.translate(request, on_progress=on_progress, should_stop=should_stop, timeout_seconds=SECONDS)


def once(action: Callable[[], None]) -> Callable[[Progress], None]:
    """Does it when the translation itself has begun."""
    done = threading.Event()

    def look(message: Progress) -> None:
        if message.stage not in ("read", "write") and not done.is_set():
            done.set()
            action()

    return look


def stations() -> list[psutil.Process]:
    """The actors' processes."""
    return [one for one in psutil.process_iter(["cmdline"]) if "ray::Station" in " ".join(one.info["cmdline"] or ())]


def machine_of(actor: psutil.Process, cluster: Any) -> Any:
    """The machine that an actor is on."""
    raylet = actor.ppid()
    return next(one for one in cluster.worker_nodes if one.all_processes["raylet"][0].process.pid == raylet)


def test_actor_is_warm_tells_its_progress_and_translates_as_the_local_worker_does(
    executor: RayExecutor, request_of: Callable[[int], Translate], package: Path, tmp_path: Path
) -> None:
    load = Load(model=str(package), device="cpu", threads=1)
    assert executor.warm_up([load], should_stop=lambda: False) == {}
    assert executor.ready
    (actor,) = stations()
    said: list[Progress] = []
    request = request_of(32)

    answer = ask(executor, request, on_progress=said.append)

    assert isinstance(answer, Translated)
    assert {"read", "write"} < {one.stage for one in said}
    assert [one.pid for one in stations()] == [actor.pid]
    made = np.load(Path(request.folder) / "hu.npy")
    local = LocalExecutor()
    assert isinstance(ask(local, request), Translated)
    local.stop()
    np.testing.assert_array_equal(made, np.load(Path(request.folder) / "hu.npy"))


def test_killed_actor_is_replaced(executor: RayExecutor, request_of: Callable[[int], Translate]) -> None:
    request = request_of(256)

    def kill() -> None:
        for actor in stations():
            os.kill(actor.pid, signal.SIGKILL)

    lost = ask(executor, request, on_progress=once(kill))

    assert isinstance(lost, Failed)
    assert (lost.problem.code, lost.disposition) == ("worker_died", Disposition.RETRY)
    assert isinstance(ask(executor, request), Translated)


def test_cancelled_series_ends_where_it_runs(
    executor: RayExecutor, request_of: Callable[[int], Translate], tmp_path: Path
) -> None:
    wanted = threading.Event()

    assert ask(executor, request_of(256), on_progress=once(wanted.set), should_stop=wanted.is_set) is None

    wait_until(lambda: not stations(), seconds=SECONDS, what="the actor to end")
    assert not (tmp_path / "work" / "translation.json").exists()


def test_series_of_a_machine_that_is_lost_is_translated_on_another(
    executor: RayExecutor, request_of: Callable[[int], Translate], cluster: Any
) -> None:
    request = request_of(256)
    lost_machines: list[Any] = []

    def lose() -> None:
        (actor,) = stations()
        lost_machines.append(machine_of(actor, cluster))
        cluster.remove_node(lost_machines[0], allow_graceful=False)

    lost = ask(executor, request, on_progress=once(lose))

    assert isinstance(lost, Failed)
    assert (lost.problem.code, lost.disposition) == ("worker_died", Disposition.RETRY)
    assert isinstance(ask(executor, request), Translated)
    (actor,) = stations()
    assert machine_of(actor, cluster) in cluster.worker_nodes


def test_cluster_without_a_place_is_a_reason_that_may_pass(cluster: Any, package: Path) -> None:
    courier = Courier(lambda _: None, address=cluster.address, gpus=1, place_seconds=1)
    try:
        answer = courier.answer(Load(model=str(package), device="cpu"))
    finally:
        courier.close()

    assert isinstance(answer, Failed)
    assert (answer.problem.code, answer.disposition) == ("ray_no_place", Disposition.RETRY)


def test_cluster_that_is_not_there_is_a_reason_that_may_pass(package: Path) -> None:
    executor = RayExecutor(RaySettings(address="auto", gpus=0))
    begun = time.monotonic()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("RAY_TMPDIR", "/nonexistent")
            environment.setenv("RAY_ADDRESS", "127.0.0.1:1")
            problems = executor.warm_up([Load(model=str(package), device="cpu")], should_stop=lambda: False)
    finally:
        executor.stop()

    assert [one.code for one in problems.values()] == ["ray_unreachable"]
    assert time.monotonic() - begun < SECONDS
