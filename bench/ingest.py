"""How many CT images a second are received: our listener, DCMTK's storescp and Orthanc, one after the other.

    python -m bench.ingest [--images 300] [--repetitions 3] [--postgresql] [--json ingest.json]

The sender is DCMTK's storescu on the same machine, with 1 and with 4 associations; the time is that from starting the
senders to the end of the last, so it holds their start-up and reading too, the same for every receiver. Ours answers
when file, folder and catalog row are on disk. Each repetition sends the same images to a receiver that is empty but for
a few images sent before the clock starts, so that nobody is measured while starting.

Beside the rate stands the processor time that the receiver, with all its processes, spent on an image: on a machine with
few cores, or busy ones, it is what limits the rate, and it says more than the rate does of one that is busy otherwise.

With ``--postgresql`` our node stands there twice, the second time with its catalog on a PostgreSQL server (Debian's, as
it is installed, on the same disk) whose own processor time is not counted.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from bench.turnaround import is_ready
from tests import peers, postgres

_ROUTE = "CECT_ART"
_WARM_UP_IMAGES = 8
_READY_SECONDS = 120.0
Receiver = Callable[[Path], AbstractContextManager[peers.Peer]]


def write_series(folder: Path, *, images: int, parts: int) -> list[Path]:
    """Write one CT series of 512x512 16-bit images, dealt out to `parts` folders."""
    folders = [folder / f"part{part}" for part in range(parts)]
    for part in folders:
        part.mkdir(parents=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    noise = np.random.default_rng(0).normal(1024, 60, (512, 512))
    for number in range(images):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.Modality, image.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.PatientName, image.PatientID = "BENCH^INGEST", "BENCH"
        image.InstanceNumber, image.ImagePositionPatient = number + 1, [-250.0, -250.0, 1.0 * number]
        image.ImageOrientationPatient, image.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.9766, 0.9766]
        image.Rows = image.Columns = 512
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.RescaleIntercept, image.RescaleSlope = -1024, 1
        image.PixelData = np.roll(noise, number, axis=1).clip(0, 4095).astype("<u2").tobytes()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.save_as(folders[number % parts] / f"{number:04d}.dcm", enforce_file_format=True)
    return folders


def our_node(model: str, *, database: Callable[[], str | None] = lambda: None) -> Receiver:
    """Our node with `model`, once it is ready; its series stay incomplete, so that nothing but receiving runs.

    ``database`` gives the URL of an empty one, None for SQLite.
    """

    @contextmanager
    def run(folder: Path) -> Iterator[peers.Peer]:
        settings: dict[str, dict[str, Any]] = {
            "node": {"database": database()},
            "series": {"quiet_seconds": 3600.0},
            "routes": {_ROUTE: {"phase": "arterial", "model": model, "destinations": []}},
        }
        with peers.node(folder, settings) as node:
            peers.wait_until(lambda: is_ready(node), seconds=_READY_SECONDS, what="the node to be ready")
            yield node

    return run


def measure(
    receiver: Receiver, series: Path, *, folder: Path, warm_up: Path, images: int, associations: int
) -> dict[str, float]:
    """Send `series` (folders, dealt out to the associations) once; returns seconds, images a second, CPU per image.

    `folder` is for the receiver's files and must not be removed before the last measurement: ext4 passes over inodes
    that were freed in the last minutes, one by one, which would cost whoever comes next a quarter of its time.
    """
    # What the last receiver did not force to the disk itself must not be written while this one is measured.
    os.sync()
    with receiver(folder) as peer:
        called_ae = _ROUTE if peer.name == "node" else peer.ae_title
        peers.send(peer, [warm_up], called_ae=called_ae, options=("+r",))
        parts = sorted(series.iterdir())
        groups = [parts[start::associations] for start in range(associations)]
        spent, begun = peers.processor_seconds(peer), time.perf_counter()
        senders = [peers.storescu(peer, group, called_ae=called_ae, options=("+r",)) for group in groups]
        outputs = [sender.communicate()[0] for sender in senders]
        seconds, spent = time.perf_counter() - begun, peers.processor_seconds(peer) - spent
        for sender, output in zip(senders, outputs, strict=True):
            if sender.returncode:
                raise peers.PeerError(f"storescu failed on {peer.name}: {output.decode(errors='replace')[-1000:]}")
    return {"seconds": seconds, "images_per_second": images / seconds, "cpu_ms_per_image": 1e3 * spent / images}


def main() -> None:
    """Measure, print the table, write the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--associations", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--model", default="demo", help="model package of the node's route; not used, but loaded")
    parser.add_argument("--postgresql", action="store_true", help="our node on PostgreSQL, too")
    parser.add_argument("--json", type=Path, default=Path("ingest.json"))
    options = parser.parse_args()
    receivers: dict[str, Receiver] = {
        "s2ldm-node": our_node(options.model),
        "storescp": peers.storescp,
        "Orthanc": peers.orthanc,
    }
    missing = [program for program in (peers.STORESCU, peers.STORESCP, peers.ORTHANC) if not shutil.which(program)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    if options.postgresql and (why := postgres.missing()):
        sys.exit(why)
    runs: list[dict[str, Any]] = []
    with ExitStack() as running, tempfile.TemporaryDirectory(prefix="ingest-") as work:
        if options.postgresql:
            server = running.enter_context(postgres.server())
            on_server = our_node(options.model, database=lambda: server.url(server.create()))
            receivers = {"s2ldm-node": receivers.pop("s2ldm-node"), "on PostgreSQL": on_server, **receivers}
        series, warm_up = Path(work) / "series", Path(work) / "warm-up"
        write_series(series, images=options.images, parts=max(options.associations))
        write_series(warm_up, images=_WARM_UP_IMAGES, parts=1)
        # Receivers take turns, so that whatever else the machine does meets them all alike.
        for repetition in range(options.repetitions):
            for associations in options.associations:
                for name, receiver in receivers.items():
                    result = measure(
                        receiver,
                        series,
                        folder=Path(work) / f"{name}-{associations}-{repetition}",
                        warm_up=warm_up,
                        images=options.images,
                        associations=associations,
                    )
                    runs.append({"receiver": name, "associations": associations, "repetition": repetition, **result})
    _print_table(runs, images=options.images)
    document = {"images": options.images, "platform": platform.platform(), "runs": runs}
    options.json.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nraw numbers: {options.json}")


def _print_table(runs: list[dict[str, Any]], *, images: int) -> None:
    repetitions = 1 + max(run["repetition"] for run in runs)
    print(
        f"{images} CT images, 512x512, 16 bit; median of {repetitions} (lowest to highest): images/s, and the receiver's "
        "processor time for an image\n"
    )
    counts, names = (list(dict.fromkeys(run[key] for run in runs)) for key in ("associations", "receiver"))
    print(f"{'receiver':<14}" + "".join(f"{f'{count} association(s)':>32}" for count in counts))
    for name in names:
        cells = []
        for count in counts:
            chosen = [run for run in runs if (run["receiver"], run["associations"]) == (name, count)]
            rates = [run["images_per_second"] for run in chosen]
            cpu = statistics.median(run["cpu_ms_per_image"] for run in chosen)
            cells.append(f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f}), {cpu:.2f} ms")
        print(f"{name:<14}" + "".join(f"{cell:>32}" for cell in cells))


if __name__ == "__main__":
    main()
