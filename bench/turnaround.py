"""How long a series takes from its last slice in to its last derived slice stored, and how much of that is waiting.

    python bench/turnaround.py [--slices 300] [--repetitions 3] [--model tiny] [--json turnaround.json]

Orthanc is both the archive that holds the source series, so that ``series.confirm_with`` can count it, and the destination
of the derived series; DCMTK's storescu sends. One node runs with the count confirmed and one without. The last slice is in
when its row is in the catalog; the last derived slice is stored when Orthanc has answered for it. Between the two lie

- the steps' work (selection, translation, derivation, delivery), as the node's own metrics say it, and
- waiting: for completeness, and between steps. It is what is left, and what the node can be blamed for on any machine.

The model is a tiny untrained one unless another package is named: it takes part in no wait.
"""

import argparse
import json
import platform
import re
import shutil
import statistics
import sys
import tempfile
import urllib.error
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from s2ldm_core.phantom import Phantom
from s2ldm_core.phantom.dicom import write_series
from tests import peers

_ROUTE = "CECT_ART"
_STEPS = ("select", "translate", "derive", "deliver")
_READY_SECONDS = 180.0
_JOB_SECONDS = 1800.0
_STEP_SUM = re.compile(r'^s2ldm_step_seconds_sum\{step="(\w+)"\} (\S+)$', re.MULTILINE)


def settings(orthanc: peers.Peer, *, model: str, quiet_seconds: float, confirmed: bool) -> dict[str, Any]:
    """The node's configuration."""
    return {
        "series": {"quiet_seconds": quiet_seconds, "confirm_with": "pacs" if confirmed else None},
        "routes": {_ROUTE: {"phase": "arterial", "model": model, "destinations": ["pacs"]}},
        "destinations": {"pacs": peers.destination(orthanc)},
    }


def measure(node: peers.Peer, orthanc: peers.Peer, source: Path, *, slices: int) -> dict[str, Any]:
    """Send one series through the node and say where the time went, in seconds."""
    known = len(node.get_json("/api/jobs")["items"])
    before = _step_seconds(node)
    peers.send(node, [source], called_ae=_ROUTE)

    def ended() -> dict[str, Any]:
        """The job, once it has come to an end; nothing before."""
        items = node.get_json("/api/jobs")["items"]
        last: dict[str, Any] = items[0] if len(items) > known else {}
        return last if last.get("state") in ("done", "failed", "refused") else {}

    job = peers.wait_until(ended, seconds=_JOB_SECONDS, what="the job to end")
    if job["state"] != "done":
        raise peers.PeerError(f"the job is {job['state']}: {job['reason']}")
    (delivery,) = node.get_json(f"/api/deliveries?job_id={job['id']}")["items"]
    stored = len(_instances(orthanc, job["derived_series_instance_uid"]))
    if stored != slices:
        raise peers.PeerError(f"Orthanc holds {stored} of {slices} derived slices")
    uid = job["series_instance_uid"]
    series = next(one for one in node.get_json("/api/series")["items"] if one["series_instance_uid"] == uid)
    last_in, complete, stored_at = (
        datetime.fromisoformat(text)
        for text in (series["last_received_at"], series["completed_at"], delivery["finished_at"])
    )
    after = peers.wait_until(lambda: _all_told(node, before), seconds=10, what="the metrics of every step")
    work = {step: after[step] - before.get(step, 0.0) for step in _STEPS}
    total = (stored_at - last_in).total_seconds()
    return {
        "signal": series["completion_signal"],
        "total": total,
        "until_complete": (complete - last_in).total_seconds(),
        "waiting": total - sum(work.values()),
        "work": work,
        "model": sum(job["details"]["seconds"].values()),
    }


def _all_told(node: peers.Peer, before: dict[str, float]) -> dict[str, float]:
    after = _step_seconds(node)
    return after if all(after.get(step, 0.0) > before.get(step, 0.0) for step in _STEPS) else {}


def _step_seconds(node: peers.Peer) -> dict[str, float]:
    return {step: float(value) for step, value in _STEP_SUM.findall(node.get("/metrics").decode())}


def _instances(orthanc: peers.Peer, series_uid: str) -> list[str]:
    for key in orthanc.get_json("/series"):
        found = orthanc.get_json(f"/series/{key}")
        if found["MainDicomTags"]["SeriesInstanceUID"] == series_uid:
            return list(found["Instances"])
    return []


def is_ready(node: peers.Peer) -> bool:
    """Whether the node says that it takes series."""
    try:
        node.get("/readyz")
    except urllib.error.HTTPError:
        return False
    return True


def main() -> None:
    """Measure, print the table, write the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--matrix", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--quiet-seconds", type=float, default=10.0)
    parser.add_argument("--model", default="tiny", help="model package; tiny: an untrained one made on the spot")
    parser.add_argument("--json", type=Path, default=Path("turnaround.json"))
    options = parser.parse_args()
    missing = [program for program in (peers.STORESCU, peers.ORTHANC) if not shutil.which(program)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="turnaround-") as work:
        folder = Path(work)
        model = _tiny(folder / "model") if options.model == "tiny" else options.model
        for confirmed in (True, False):
            name = "confirmed" if confirmed else "not confirmed"
            with peers.orthanc(folder / f"orthanc {name}") as orthanc:
                asked = settings(orthanc, model=model, quiet_seconds=options.quiet_seconds, confirmed=confirmed)
                with peers.node(folder / f"node {name}", asked) as node:
                    peers.wait_until(partial(is_ready, node), seconds=_READY_SECONDS, what="the node")
                    for repetition in range(options.repetitions):
                        source = folder / f"{name} {repetition}"
                        write_phantom(source, seed=len(runs), slices=options.slices, matrix=options.matrix)
                        peers.send(orthanc, [source], called_ae=orthanc.ae_title)
                        result = measure(node, orthanc, source, slices=options.slices)
                        runs.append({"count": name, "repetition": repetition, **result})
                        shutil.rmtree(source)
    _print_table(runs, slices=options.slices, matrix=options.matrix, quiet_seconds=options.quiet_seconds)
    document = {
        "slices": options.slices,
        "matrix": options.matrix,
        "quiet_seconds": options.quiet_seconds,
        "model": options.model,
        "platform": platform.platform(),
        "runs": runs,
    }
    options.json.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nraw numbers: {options.json}")


def _tiny(folder: Path) -> str:
    from tests.tiny_model import write_tiny_package

    return str(write_tiny_package(folder))


def write_phantom(folder: Path, *, seed: int, slices: int, matrix: int) -> None:
    """A series of an abdomen, 30 cm along the body."""
    pixel_mm = 384.0 / matrix
    phantom = Phantom(
        seed, matrix=(matrix, matrix), slices=slices, spacing_mm=(300.0 / slices, pixel_mm, pixel_mm), region="abdomen"
    )
    write_series(phantom, folder)


def _print_table(runs: list[dict[str, Any]], *, slices: int, matrix: int, quiet_seconds: float) -> None:
    repetitions = 1 + max(run["repetition"] for run in runs)
    print(
        f"{slices} slices of {matrix}x{matrix}, quiet_seconds {quiet_seconds:g}: seconds from the last slice in to the last "
        f"derived slice stored; median of {repetitions} (lowest to highest)\n"
    )
    columns = ("waiting", "until_complete", "total", "model", *_STEPS)
    print(f"{'count':<15}{'signal':<11}" + "".join(f"{column.replace('_', ' '):>24}" for column in columns))
    for name in dict.fromkeys(run["count"] for run in runs):
        chosen = [run for run in runs if run["count"] == name]
        cells = [_cell([run[column] if column in run else run["work"][column] for run in chosen]) for column in columns]
        print(f"{name:<15}{chosen[0]['signal']:<11}" + "".join(f"{cell:>24}" for cell in cells))


def _cell(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
