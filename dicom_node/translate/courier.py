"""The courier: a process between the node and one actor on a Ray cluster, to which it carries requests and from which answers.

It is the cluster's driver in the node's place. Ray ends a driver whose cluster is gone, and with a driver its actors: so a
cluster that fails takes no node with it, and a job that is cancelled or takes too long ends where it runs as soon as its
courier is ended. Ray and what it needs are imported here only.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from dicom_node import __version__
from dicom_node.translate.messages import Answer, Disposition, Failed, Load, Loaded, Progress, Request
from dicom_node.translate.worker import answer_all, end_with_parent
from s2ldm_core.problem import Problem

#: So long a cluster may take to find a place for an actor and to start it.
PLACE_SECONDS = 120.0
_FOR_EVER = float("inf")
#: Ray reads them when it is imported: it would try for ten minutes to reach a cluster that is not there, and tell its
#: makers of one that is started here.
_RAY = {"RAY_NUM_REDIS_GET_RETRIES": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def serve(connection: Connection, address: str, gpus: float) -> None:
    """Carry until the other end closes; the process' main function."""
    end_with_parent()
    courier = Courier(connection.send, address=address, gpus=gpus)
    try:
        answer_all(connection, courier.answer)
    finally:
        courier.close()


class Courier:
    """Has one actor, another when that is lost, and says what becomes of a request.

    Parameters
    ----------
    send
        Takes progress messages while a request is worked on.
    address
        Of the cluster, as Ray has it: ``auto``, ``local`` or ``host:port``.
    gpus
        What an actor takes of them; 0: it computes on processors, as many as the request has threads.
    place_seconds
        How long the cluster may take to find a place for an actor and to start it.
    """

    def __init__(
        self, send: Callable[[Answer], None], *, address: str, gpus: float, place_seconds: float = PLACE_SECONDS
    ) -> None:
        self._send, self._address, self._gpus, self._place_seconds = send, address, gpus, place_seconds
        self._actor: Any = None

    def answer(self, request: Request) -> Answer:
        """Have the actor do what is asked; every failure comes back as ``Failed``."""
        for name, value in _RAY.items():
            os.environ.setdefault(name, value)
        try:
            import ray
            from ray.exceptions import GetTimeoutError, RayActorError, RayError
        except ImportError:
            return _failed(
                "ray_missing", "Ray is not installed.", "Install it with: pip install 's2ldm-node[ray]'", again=False
            )
        try:
            if self._actor is None:
                self._actor = self._start(request.threads)
            for reference in self._actor.answer.remote(request):
                message: Answer = ray.get(reference)
                if not isinstance(message, Progress):
                    return message
                self._send(message)
        except GetTimeoutError:
            self._drop()
            return _failed(
                "ray_no_place",
                f"The Ray cluster had no place for an actor with {self._gpus:g} GPUs for {self._place_seconds:.0f} seconds.",
                "Add machines to the cluster, or lower compute.ray.workers or compute.ray.gpus.",
            )
        except _OtherVersionError as error:
            self._drop()
            return _failed(
                "ray_other_version",
                f"The Ray cluster has version {error} of the node, this one is {__version__}.",
                "Install the same version on every machine of the cluster.",
            )
        except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
            self._drop()
            return _failed(
                "ray_unreachable",
                f"The Ray cluster at {self._address} cannot be used ({type(error).__name__}).",
                "Check compute.ray.address, that the cluster runs, and that both have the same version of Ray and token.",
            )
        except RayActorError:
            pass
        except RayError as error:
            self._drop()
            return _failed(
                "ray_fault",
                f"The Ray cluster could not do a request ({type(error).__name__}).",
                "See Ray's log; the job is tried again.",
            )
        self._drop()
        return _failed(
            "worker_died",
            "The actor that translated the series was lost, or the machine that it ran on.",
            "See Ray's log of that machine; the job is tried again, wherever there is a place.",
        )

    def close(self) -> None:
        """Leave the cluster; the actor ends."""
        self._drop()
        if self._connected():
            import ray

            ray.shutdown()

    def _start(self, threads: int | None) -> Any:
        import ray

        if not self._connected():
            ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR, namespace="s2ldm-node")
        # Not restarted: another is made, which may find a place elsewhere.
        kind = ray.remote(num_gpus=self._gpus, num_cpus=threads or 1, max_restarts=0, max_task_retries=0)(Station)
        actor: Any = kind.remote()
        self._actor = actor  # to be ended if it finds no place
        version = ray.get(actor.version.remote(), timeout=self._place_seconds)
        if version != __version__:
            raise _OtherVersionError(version)
        return actor

    def _connected(self) -> bool:
        import ray

        return bool(ray.is_initialized())

    def _drop(self) -> None:
        """End the actor, if there is still one."""
        actor, self._actor = self._actor, None
        if actor is not None and self._connected():
            import ray

            ray.kill(actor)


class Station:
    """The actor: a worker process on the machine where the cluster has placed it, as the executor ``local`` has one.

    So memory is bounded as there, and a series that kills its process kills nothing else.
    """

    def __init__(self) -> None:
        from dicom_node.translate.executors.local import LocalExecutor

        self._executor = LocalExecutor()

    def version(self) -> str:
        """The node's version here."""
        return __version__

    def answer(self, request: Request) -> Iterator[Answer]:
        """Progress as it comes, then the answer."""
        messages: queue.Queue[Answer] = queue.Queue()

        def work() -> None:
            messages.put(self._answer(request, messages.put))

        threading.Thread(target=work, name="answer", daemon=True).start()
        while True:
            message = messages.get()
            yield message
            if not isinstance(message, Progress):
                return

    def _answer(self, request: Request, on_progress: Callable[[Progress], None]) -> Answer:
        # How long it may take, and whether it is still wanted, is the node's to say: it ends the courier.
        if isinstance(request, Load):
            problems = self._executor.warm_up([request], should_stop=lambda: False)
            for problem in problems.values():
                return Failed(problem=problem, disposition=Disposition.RETRY)
            return Loaded(model=request.model, seconds=0.0)
        answer = self._executor.translate(
            request, on_progress=on_progress, should_stop=lambda: False, timeout_seconds=_FOR_EVER
        )
        return answer or _failed("worker_died", "The worker process was ended.", "See Ray's log.")


class _OtherVersionError(Exception):
    """The cluster's version of the node."""


def _failed(code: str, sentence: str, remedy: str, *, again: bool = True) -> Failed:
    return Failed(problem=Problem(code, sentence, remedy), disposition=Disposition.RETRY if again else Disposition.FAIL)
