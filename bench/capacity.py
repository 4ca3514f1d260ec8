"""How many nodes and translating machines a number of hospitals needs, by a queueing simulation of times measured here.

    python -m bench.capacity [--hospitals 100] [--series 300] [--within 300] [--model demo] [--gpu 1.0,0.01] [--json capacity.json]

1. **Measured**: a node with the model, DCMTK as sender and Orthanc as destination. Series of several sizes go through alone; a straight
   line through the seconds of each step over the slices is what the step takes.
2. **Checked**: a burst of series is sent to the same node at once. The simulation of that burst, with the times of 1, stands beside what
   was measured: what it is worth. Whatever else runs on the machine meanwhile spoils both.
3. **Answered**: the simulation of a day with its busy hours, for growing numbers of nodes (selection, derivation, delivery) and of machines
   that translate (Ray actors), until the 95th percentile of the turnaround, from the last image in to the last derived image stored,
   stays within ``--within`` seconds. A machine here is one like this one. With ``--gpu BASE,SLICE`` the answer is given a second time for
   GPUs that take so many seconds for a series and for each slice: an assumption of whoever asks, nothing measured here.

The day is an assumption, too: ``--busy-share`` of the series come in ``--busy-hours`` of it, at random, in the sizes of ``--sizes``; a step
takes now longer, now shorter, by as much as it did in 1. The catalog and the network have no limit in it, and nothing fails.
"""

import argparse
import json
import math
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.uid import generate_uid

from bench.queueing import Arrival, Machines, Simulation, Step
from bench.turnaround import is_ready, measure, settings, write_phantom
from tests import peers

_ROUTE = "CECT_ART"
_STEPS = ("select", "translate", "derive", "deliver")
_QUIET_SECONDS = 2.0
_SECONDS = 1800.0
_DAY = 86_400.0
_MOST_NODES, _MOST_MACHINES = 64, 512


def fitted(runs: Sequence[dict[str, Any]], *, cores: float) -> tuple[list[Step], float]:
    """The steps as straight lines through the measured seconds, and the spread of a series' work (standard deviation of its logarithm)."""
    steps = []
    for name in _STEPS:
        slices = np.array([run["slices"] for run in runs], float)
        seconds = np.array([run["work"][name] for run in runs])
        slope, base = np.polyfit(slices, seconds, 1) if len(set(slices)) > 1 else (0.0, seconds.mean())
        steps.append(
            Step(
                name=name,
                base_seconds=max(0.0, float(base)),
                slice_seconds=max(0.0, float(slope)),
                threads=cores if name == "translate" else 1.0,
            )
        )
    ratios = [math.log(sum(run["work"].values()) / sum(step.seconds(run["slices"]) for step in steps)) for run in runs]
    return steps, statistics.pstdev(ratios)


def day(options: argparse.Namespace, *, spread: float, seed: int) -> list[Arrival]:
    """A day's complete series, one after the other."""
    draw = np.random.default_rng(seed)
    count, busy = options.hospitals * options.series, options.busy_hours * 3600.0
    at = np.where(
        draw.random(count) < options.busy_share, draw.uniform(0, busy, count), draw.uniform(busy, _DAY, count)
    )
    slices, factors = draw.choice(options.sizes, count), draw.lognormal(0.0, spread, count)
    return [
        Arrival(at=float(when), slices=int(size), factor=float(factor))
        for when, size, factor in zip(np.sort(at), slices, factors, strict=True)
    ]


def answered(
    steps: Sequence[Step], arrivals: Sequence[Arrival], *, cores: float, within: float, waiting: float
) -> dict[str, Any]:
    """The fewest nodes, then the fewest translating machines, with which 95 of 100 series are back in time; a node like this machine.

    The times of all steps must be those of a step alone on its machine.
    """
    work = {step.name: sum(step.seconds(one.slices) * one.factor for one in arrivals) for step in steps}
    peak = _peak(steps, arrivals)
    nodes = max(1, math.ceil(max(peak[name] for name in _STEPS if name != "translate")))
    machines = max(1, math.ceil(peak["translate"]))
    tried = []
    while nodes <= _MOST_NODES and machines <= _MOST_MACHINES:
        simulation = Simulation(
            steps,
            [
                Machines(count=nodes, cores=cores, servers={name: 1 for name in _STEPS if name != "translate"}),
                Machines(count=machines, cores=cores, servers={"translate": 1}),
            ],
        )
        times = sorted(waiting + seconds for seconds in simulation.turnaround(arrivals))
        result = {
            "nodes": nodes,
            "machines": machines,
            "median": statistics.median(times),
            "p95": times[int(0.95 * len(times))],
            "longest": times[-1],
            "translating": simulation.busy["translate"] / (machines * _DAY),
        }
        tried.append(result)
        if result["p95"] <= within:
            break
        shares = {name: peak[name] / (machines if name == "translate" else nodes) for name in _STEPS}
        if max(shares, key=lambda name: shares[name]) == "translate":
            machines += max(1, machines // 20)
        else:
            nodes += 1
    return {"work": work, "tried": tried, "enough": tried[-1]["p95"] <= within}


def _peak(steps: Sequence[Step], arrivals: Sequence[Arrival]) -> dict[str, float]:
    """Servers of each step that the busiest hour would keep at work."""
    hours: dict[int, dict[str, float]] = {}
    for one in arrivals:
        held = hours.setdefault(int(one.at // 3600), dict.fromkeys(_STEPS, 0.0))
        for step in steps:
            held[step.name] += step.seconds(one.slices) * one.factor / 3600.0
    return {name: max(held[name] for held in hours.values()) for name in _STEPS}


def _measured(node: peers.Peer, orthanc: peers.Peer, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    runs = []
    for repetition in range(options.repetitions + 1):
        for slices in options.measured:
            source = _copy(folder / f"drawn {slices}", folder / f"alone {repetition} {slices}")
            found = measure(node, orthanc, source, slices=slices)
            if repetition:  # the first of all loads the model
                runs.append({"slices": slices, **found})
    return runs


def _copy(drawn: Path, target: Path) -> Path:
    """The same images as a series of another study."""
    target.mkdir()
    study, series = generate_uid(), generate_uid()
    for path in drawn.iterdir():
        image = dcmread(path)
        image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID = study, series, generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(target / path.name)
    return target


def _burst(node: peers.Peer, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Arrival (s after the first), slices and turnaround without the wait for completeness, of every series of a burst."""
    known = {job["id"] for job in node.get_json("/api/jobs?limit=500")["items"]}
    sizes = [options.measured[number % len(options.measured)] for number in range(options.burst)]
    sources = [_copy(folder / f"drawn {slices}", folder / f"burst {number}") for number, slices in enumerate(sizes)]
    peers.send(node, sources, called_ae=_ROUTE)

    def ended() -> list[dict[str, Any]]:
        jobs = [job for job in node.get_json("/api/jobs?limit=500")["items"] if job["id"] not in known]
        return jobs if len(jobs) == len(sizes) and all(job["state"] == "done" for job in jobs) else []

    jobs = peers.wait_until(ended, seconds=_SECONDS, what="the burst to be done")
    series = {one["series_instance_uid"]: one for one in node.get_json("/api/series?limit=500")["items"]}
    found = []
    for job in jobs:
        one = series[job["series_instance_uid"]]
        (delivery,) = node.get_json(f"/api/deliveries?job_id={job['id']}")["items"]
        complete, stored = (datetime.fromisoformat(text) for text in (one["completed_at"], delivery["finished_at"]))
        found.append(
            {"at": complete.timestamp(), "slices": one["instances"], "turnaround": (stored - complete).total_seconds()}
        )
    first = min(one["at"] for one in found)
    return sorted(({**one, "at": one["at"] - first} for one in found), key=lambda one: one["at"])


def _simulated(steps: Sequence[Step], burst: Sequence[dict[str, Any]], *, cores: float) -> list[float]:
    machine = Machines(count=1, cores=cores, servers=dict.fromkeys(_STEPS, 1))
    return Simulation(steps, [machine]).turnaround([Arrival(at=one["at"], slices=one["slices"]) for one in burst])


def main() -> None:
    """Measure, check, answer; print and write the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hospitals", type=int, default=100)
    parser.add_argument("--series", type=int, default=300, help="of each hospital in a day")
    parser.add_argument("--within", type=float, default=300.0, help="seconds, 95th percentile")
    parser.add_argument("--busy-share", type=float, default=0.8)
    parser.add_argument("--busy-hours", type=float, default=10.0)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[60, 60, 120, 200, 400], help="slices of a series, each as likely"
    )
    parser.add_argument("--measured", type=int, nargs="+", default=[16, 48], help="slices of the series measured here")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--burst", type=int, default=8)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--gpu", help="BASE,SLICE: seconds on a GPU; an assumption")
    parser.add_argument("--waiting", type=float, default=2.4, help="seconds until a series is known to be complete")
    parser.add_argument("--json", type=Path, default=Path("capacity.json"))
    options = parser.parse_args()
    cores = float(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="capacity-") as work:
        folder = Path(work)
        for slices in set(options.measured):
            write_phantom(folder / f"drawn {slices}", seed=slices, slices=slices, matrix=512)
        with peers.orthanc(folder / "orthanc") as orthanc:
            asked = settings(orthanc, model=options.model, quiet_seconds=_QUIET_SECONDS, confirmed=False)
            with peers.node(folder / "node", asked) as node:
                peers.wait_until(lambda: is_ready(node), seconds=_SECONDS, what="the node")
                runs = _measured(node, orthanc, folder, options)
                burst = _burst(node, folder, options)
    steps, spread = fitted(runs, cores=cores)
    simulated = _simulated(steps, burst, cores=cores)
    print(
        f"alone on {cores:g} cores, {options.model}; seconds of a series and of each of its slices; spread {spread:.2f}"
    )
    for step in steps:
        print(f"  {step.name:<10}{step.base_seconds:8.2f} + {step.slice_seconds:7.4f} n")
    print(f"\na burst of {len(burst)} series: seconds from complete to stored, measured and simulated")
    for one, told in zip(burst, simulated, strict=True):
        print(f"  {one['slices']:>4} slices at {one['at']:6.1f}: {one['turnaround']:7.1f} {told:7.1f}")
    print(
        f"  median {statistics.median(one['turnaround'] for one in burst):.1f} and {statistics.median(simulated):.1f}, "
        f"longest {max(one['turnaround'] for one in burst):.1f} and {max(simulated):.1f}"
    )
    arrivals = day(options, spread=spread, seed=0)
    answers = {
        "machines like this one": answered(steps, arrivals, cores=cores, within=options.within, waiting=options.waiting)
    }
    if options.gpu:
        base, each = (float(number) for number in options.gpu.split(","))
        on_gpu = [
            replace(step, base_seconds=base, slice_seconds=each, threads=1.0) if step.name == "translate" else step
            for step in steps
        ]
        name = f"GPUs of {base:g} + {each:g} n seconds (assumed)"
        answers[name] = answered(on_gpu, arrivals, cores=cores, within=options.within, waiting=options.waiting)
    print(f"\n{options.hospitals} hospitals, {options.series} series a day each; turnaround of a series, seconds")
    for name, answer in answers.items():
        last = answer["tried"][-1]
        print(
            f"  {name}: {last['machines']} of them and {last['nodes']} nodes: median {last['median']:.0f}, 95 % {last['p95']:.0f}, "
            f"longest {last['longest']:.0f}; translating {100 * last['translating']:.0f} % of the day"
            + ("" if answer["enough"] else " (not enough)")
        )
    document = {
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()},
        "platform": platform.platform(),
        "cores": cores,
        "runs": runs,
        "steps": [asdict(step) for step in steps],
        "spread": spread,
        "burst": [{**one, "simulated": told} for one, told in zip(burst, simulated, strict=True)],
        "answers": answers,
    }
    options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"\nraw numbers: {options.json}")


if __name__ == "__main__":
    main()
