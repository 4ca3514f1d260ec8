"""Many associations at once, and many thousand images: whether series stay apart and memory stays where it is.

    python -m bench.load [--associations 64] [--series 20] [--slices 300] [--matrix 64] [--json load.json]
    python -m bench.load --associations 4 --series 480 --slices 50 --warm-up 80

The slices of all series are dealt out in turn over associations that are open at the same time, so that every one of
them carries slices of every series. Each series must end as one job with exactly its slices, selected, by a package that
is tiny and untrained: what is asked is whether the bookkeeping holds, and with small slices it is most of the work.

Series are sent in groups of ``--at-once``, the next when every one of the group has been translated, so that all
processes of the node take part. The memory of each (`VmRSS`) is noted after every group: its slope over the images
received is told by least squares with a 95 % interval, with a level of its own for each process where one has taken
another's place; the first ``--warm-up`` series do not count.
"""

import argparse
import json
import platform
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench.turnaround import is_ready
from dicom_node.catalog import Catalog, JobState
from tests import node_processes, peers, wire
from tests.ct_series import body_hu, ct_slice
from tests.tiny_model import write_tiny_package

_ROUTE = "CECT_ART"
_READY_SECONDS = 180.0
#: Between two looks at the catalog, which take time from the node.
_LOOK_SECONDS = 0.5
_ROOT = "1.2.826.0.1.3680043.8.498.17"
#: What each slice has of its own, at lengths that never change: SOP and Series Instance UID, number, place.
_INSTANCE_UID, _SERIES_UID = f"{_ROOT}.9.0000000000", f"{_ROOT}.8.0000000000"
_NUMBER, _PLACE = "11111111", "77777777"
_WORKED = (JobState.TRANSLATED, JobState.DERIVING, JobState.DELIVERING, JobState.DONE)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The memory of a process after so many images."""

    images: int
    kind: str
    pid: int
    kib: int


@dataclass(frozen=True, kw_only=True)
class Slope:
    """KiB for each thousand images, with the 95 % interval; ``processes``: how many took each other's place."""

    kib: float
    lowest: float
    highest: float
    samples: int
    processes: int
    most_kib: int


class Slices:
    """CT slices that differ in what they must: made once, then written by exchanging bytes of the same lengths."""

    def __init__(self, matrix: int) -> None:
        plane = np.rint(body_hu(1, matrix)[0] + 1024).astype(np.int16)
        image = ct_slice(plane, (0.0, 0.0, 0.0), series_uid=_SERIES_UID, SOPInstanceUID=_INSTANCE_UID, PatientID="LOAD")
        image.InstanceNumber, image.ImagePositionPatient = _NUMBER, ["0", "0", _PLACE]
        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            image.save_as(file.name, enforce_file_format=True)
            encoded = Path(file.name).read_bytes()
        self._content = encoded[144 + struct.unpack_from("<L", encoded, 140)[0] :]

    def content(self, *, series: int, number: int) -> tuple[str, bytes]:
        """SOP Instance UID and data set of a slice of a series, both counted from 0."""
        instance = f"{_ROOT}.9.{series:06d}{number:04d}"
        content = self._content.replace(_INSTANCE_UID.encode(), instance.encode())
        content = content.replace(_SERIES_UID.encode(), series_uid(series).encode())
        content = content.replace(_NUMBER.encode(), f"{number + 1:08d}".encode())
        return instance, content.replace(_PLACE.encode(), f"{3 * number:08d}".encode())


def series_uid(series: int) -> str:
    """Its Series Instance UID."""
    return f"{_ROOT}.8.{series:010d}"


class Load:
    """Sends series to a node and looks at what becomes of them."""

    def __init__(self, node: peers.Peer, catalog: Catalog, *, slices: int, matrix: int, associations: int) -> None:
        self._node = node
        self._catalog = catalog
        self._count = slices
        self._slices = Slices(matrix)
        self._associations = associations
        self.images = 0
        self.samples: list[Sample] = []
        self.most_kib: dict[str, int] = {}
        self.rejected: list[str] = []
        self.seconds_sending = 0.0

    def send(self, series: Sequence[int]) -> None:
        """Send whole series, slice by slice in turn, over all associations at once, each kept open until all are done."""
        work = [(one, number) for number in range(self._count) for one in series]
        together = threading.Barrier(self._associations)
        threads = [
            threading.Thread(target=self._send, args=(work[start :: self._associations], together))
            for start in range(self._associations)
        ]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds_sending += time.perf_counter() - begun
        self.images += len(work)

    def await_worked(self, series: Sequence[int], *, seconds: float) -> None:
        """Wait until every one of them is translated or has come to an end, and hold each to its slices.

        Raises
        ------
        PeerError
            In that time not all did, or one has other slices than its own, more than one job, or was not selected.
        """
        wanted = {series_uid(one): one for one in series}

        def worked() -> dict[str, list[Any]]:
            time.sleep(_LOOK_SECONDS)
            jobs: dict[str, list[Any]] = {uid: [] for uid in wanted}
            for job in self._catalog.list_jobs(limit=4 * len(series)):
                if job.series_instance_uid in jobs:
                    jobs[job.series_instance_uid].append(job)
            over = (*_WORKED, JobState.REFUSED, JobState.FAILED, JobState.CANCELLED)
            return jobs if all(any(job.state in over for job in mine) for mine in jobs.values()) else {}

        for uid, mine in peers.wait_until(worked, seconds=seconds, what="the series to be translated").items():
            (job,) = mine
            if job.state not in _WORKED:
                raise peers.PeerError(f"{uid}: {job.state}, {job.reason and job.reason.code}")
            held = {one.sop_instance_uid for one in self._catalog.job_instances(job.id)}
            expected = {f"{_ROOT}.9.{wanted[uid]:06d}{number:04d}" for number in range(self._count)}
            if held != expected:
                raise peers.PeerError(f"{uid}: {len(held - expected)} foreign, {len(expected - held)} missing slices")

    def note_memory(self, *, counts: bool) -> None:
        """Note what every process of the node holds; ``counts``: towards the slope."""
        for pid, kind in node_processes.processes(self._node).items():
            most = node_processes.memory_kib(pid, "VmHWM")
            self.most_kib[kind] = max(most, self.most_kib.get(kind, 0))
            if counts and (held := node_processes.memory_kib(pid)):
                self.samples.append(Sample(images=self.images, kind=kind, pid=pid, kib=held))

    def _send(self, work: Sequence[tuple[int, int]], together: threading.Barrier) -> None:
        try:
            with wire.Association(self._node.port, seconds=120.0) as association:
                association.establish(called_ae=_ROUTE, contexts=[(wire.CT, wire.EXPLICIT)])
                together.wait()
                for message, (series, number) in enumerate(work, start=1):
                    instance, content = self._slices.content(series=series, number=number)
                    status = association.store(
                        message_id=message % 65536,
                        context_id=1,
                        sop_class=wire.CT,
                        sop_instance=instance,
                        data_set=content,
                    )
                    if status:
                        self.rejected.append(f"0x{status:04X}")
                together.wait()
                association.release()
        except (OSError, threading.BrokenBarrierError) as error:
            self.rejected.append(type(error).__name__)
            together.abort()


def slope(samples: Sequence[Sample]) -> Slope | None:
    """Least squares of memory over images with one slope for all and a level for each process (PID).

    The interval takes the samples for independent; where memory drifts in steps, the truth is somewhat wider. None where
    no process was looked at three times.
    """
    groups = {pid: [one for one in samples if one.pid == pid] for pid in dict.fromkeys(one.pid for one in samples)}
    groups = {pid: mine for pid, mine in groups.items() if len({one.images for one in mine}) > 2}
    if not groups:
        return None
    images = np.concatenate([_centred([one.images / 1000 for one in mine]) for mine in groups.values()])
    kib = np.concatenate([_centred([one.kib for one in mine]) for mine in groups.values()])
    spread = float(images @ images)
    estimate = float(images @ kib) / spread
    free = len(images) - len(groups) - 1
    error = float(np.sum((kib - estimate * images) ** 2)) / max(1, free)
    half = float(stats.t.ppf(0.975, max(1, free))) * (error / spread) ** 0.5
    return Slope(
        kib=estimate,
        lowest=estimate - half,
        highest=estimate + half,
        samples=len(images),
        processes=len(groups),
        most_kib=max(one.kib for one in samples),
    )


def _centred(values: Sequence[float]) -> np.ndarray:
    found = np.asarray(values, dtype=float)
    return found - found.mean()


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Start a node in ``folder``, load it, and say what was found."""
    model = write_tiny_package(folder / "tiny", min_slices=2)
    route = {
        "phase": "arterial",
        "model": str(model),
        "destinations": [],
        "anatomy": "any",
        "enhancement_check": "tags",
    }
    asked = {
        "node": {"max_associations": max(64, options.associations)},
        "series": {"quiet_seconds": options.quiet, "min_slices": 2},
        "routes": {_ROUTE: route},
    }
    with peers.node(folder / "node", asked) as node, Catalog(folder / "node" / "var" / "catalog.sqlite") as catalog:
        peers.wait_until(lambda: is_ready(node), seconds=_READY_SECONDS, what="the node to be ready")
        load = Load(node, catalog, slices=options.slices, matrix=options.matrix, associations=options.associations)
        everything, done = range(options.warm_up + options.series), 0
        with suppress(KeyboardInterrupt):  # what there is until then counts
            for start in range(0, len(everything), options.at_once):
                group = everything[start : start + options.at_once]
                load.send(group)
                load.note_memory(counts=False)  # what receiving alone takes at most
                load.await_worked(group, seconds=options.patience)
                load.note_memory(counts=group[-1] >= options.warm_up)
                if load.rejected:
                    raise peers.PeerError(f"not accepted: {load.rejected[:5]}")
                done = group[-1] + 1
    kinds = sorted({one.kind for one in load.samples})
    found: dict[str, Any] = {}
    for kind in kinds:
        mine = [one for one in load.samples if one.kind == kind]
        measured = slope(mine)
        found[kind] = None if measured is None else vars(measured)
    return {
        "series": done,
        "images": done * options.slices,
        "images_per_second": load.images / max(load.seconds_sending, 1e-9),
        "most_kib": load.most_kib,
        "slopes": found,
        "samples": [vars(one) for one in load.samples],
    }


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--associations", type=int, default=64)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--matrix", type=int, default=64)
    parser.add_argument("--warm-up", type=int, default=0, help="series before memory counts")
    parser.add_argument("--at-once", type=int, default=20, help="series that are sent side by side")
    parser.add_argument("--quiet", type=float, default=2.0, help="seconds until a series counts as complete")
    parser.add_argument("--patience", type=float, default=1800.0, help="seconds for a group to be translated")
    parser.add_argument("--folder", type=Path, help="where node and files stay; default: one that is removed")
    parser.add_argument("--json", type=Path, default=Path("load.json"))
    return parser.parse_args(arguments)


def main() -> None:
    """Run, print, write the raw numbers."""
    options = parsed()
    try:
        with tempfile.TemporaryDirectory(prefix="load-") as temporary:
            found = run(options.folder or Path(temporary), options)
    except peers.PeerError as error:
        sys.exit(f"FAILED {error}")
    print(
        f"{found['images']} images of {options.matrix}x{options.matrix} in {found['series']} series over "
        f"{options.associations} associations at once: every series with exactly its {options.slices} slices; "
        f"{found['images_per_second']:.0f} images a second"
    )
    print(f"{'process':<10}{'most, MiB':>10}{'KiB for 1,000 images (95 %)':>34}{'samples':>9}{'processes':>11}")
    for kind, most in sorted(found["most_kib"].items()):
        one = found["slopes"].get(kind)
        text = f"{one['kib']:.0f} ({one['lowest']:.0f} to {one['highest']:.0f})" if one else "-"
        counts = f"{one['samples']:>9}{one['processes']:>11}" if one else ""
        print(f"{kind:<10}{most / 1024:>10.0f}{text:>34}{counts}")
    document = {"platform": platform.platform(), "options": {k: str(v) for k, v in vars(options).items()}, **found}
    options.json.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nraw numbers: {options.json}")


if __name__ == "__main__":
    main()
