"""How the translation of many series grows with the number of actors on a Ray cluster.

    python -m bench.actors [--actors 1 2] [--series 4] [--slices 32] [--model demo] [--json actors.json]

A cluster is started on this machine, and each number of actors, one thread each, translates the same series after all are
warm. So it shows what the actors cost each other here, where they share the processors: with more actors than cores
nothing can grow. The cluster's own processes take some of them, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue

from dicom_node.translate.executors.ray import RayExecutor, RaySettings
from dicom_node.translate.messages import Load, Translate, Translated
from tests.peers import HOST, free_port, wait_until

_JOB_SECONDS = 3600.0
_START_SECONDS = 180.0


@contextmanager
def cluster(cpus: int) -> Iterator[str]:
    """A cluster of this machine alone; its address."""
    port, ray = free_port(), str(Path(sys.executable).with_name("ray"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_AUTH_MODE": "disabled"}
    os.environ["RAY_AUTH_MODE"] = "disabled"
    options = ["--head", f"--port={port}", f"--num-cpus={cpus}", "--include-dashboard=false", "--block"]
    command = [ray, "start", f"--node-ip-address={HOST}", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _is_up(ray, f"{HOST}:{port}"), seconds=_START_SECONDS, what="Ray to start")
            yield f"{HOST}:{port}"
        finally:
            process.terminate()


def _is_up(ray: str, address: str) -> bool:
    asked = subprocess.run([ray, "status", f"--address={address}"], capture_output=True, timeout=_START_SECONDS)
    return asked.returncode == 0


def measure(address: str, *, actors: int, paths: list[str], series: int, model: str, folder: Path) -> float:
    """Series a minute."""
    load = Load(model=model, device="cpu", threads=1)
    executors = [RayExecutor(RaySettings(address=address, gpus=0)) for _ in range(actors)]
    waiting: Queue[int] = Queue()

    def warm(executor: RayExecutor) -> None:
        if problems := executor.warm_up([load], should_stop=lambda: False):
            sys.exit(str(problems))

    def work(executor: RayExecutor) -> None:
        while True:
            try:
                number = waiting.get_nowait()
            except Empty:
                return
            answer = executor.translate(
                Translate(
                    paths=tuple(paths),
                    folder=str(folder / f"{actors}-{number}"),
                    phase="arterial",
                    model=model,
                    device="cpu",
                    threads=1,
                ),
                on_progress=lambda _: None,
                should_stop=lambda: False,
                timeout_seconds=_JOB_SECONDS,
            )
            if not isinstance(answer, Translated):
                sys.exit(str(answer))

    with ThreadPoolExecutor(actors) as pool:
        try:
            list(pool.map(warm, executors))
            for number in range(series):
                waiting.put(number)
            begun = time.perf_counter()
            list(pool.map(work, executors))
            return 60.0 * series / (time.perf_counter() - begun)
        finally:
            list(pool.map(RayExecutor.stop, executors))


def main() -> None:
    """Measure, print the table, write the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--series", type=int, default=4)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--json", type=Path, default=Path("actors.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="actors-") as work:
        source = Path(work) / "source"
        make = [sys.executable, "-m", "bench.translate", "--make", str(options.slices), str(source)]
        subprocess.run(make, check=True)
        paths = [str(path) for path in sorted(source.iterdir())]
        with cluster(max(options.actors)) as address:
            rates = {
                actors: measure(
                    address, actors=actors, paths=paths, series=options.series, model=options.model, folder=Path(work)
                )
                for actors in options.actors
            }
    first = rates[options.actors[0]]
    print(f"{options.series} series of {options.slices} slices of 512x512, {options.model}, {os.cpu_count()} cores\n")
    print(f"{'actors':>6}{'series/min':>14}{'ratio':>8}")
    for actors, rate in rates.items():
        print(f"{actors:>6}{rate:>14.2f}{rate / first:>8.2f}")
    document = {"series": options.series, "slices": options.slices, "cores": os.cpu_count(), "series_per_minute": rates}
    options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
