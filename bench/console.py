"""How long the console's pages take with a full catalog, and what open consoles cost receiving.

    python bench/console.py [--series 100000] [--requests 40] [--consoles 10] [--repetitions 30] [--json console.json]

The catalog is filled with done, failed and refused jobs, their deliveries and patients, and a node is started on it. Each
page is asked for one after the other; the time is that of the whole answer at the client, on the same machine. Then
DCMTK's storescu sends a series with no console open and with ``--consoles`` that renew themselves as the page does, in
turns; the ratio of the rates is what they cost. What a renewal takes of the node's processor time, measured while
nothing else happens, is told beside it: on a busy machine it is the steadier of the two.
"""

import argparse
import json
import platform
import random
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert

from bench.ingest import write_series
from dicom_node.catalog import Catalog
from dicom_node.catalog.schema import deliveries, jobs, series, subjects
from tests import peers

_ROUTE = "CECT_ART"
_READY_SECONDS = 120.0
#: As long the node is watched without consoles, and as long with them.
_WATCHED_SECONDS = 20.0
_BATCH = 5000
_ENDS = ("done",) * 17 + ("failed", "refused", "cancelled")
PAGES = {
    "today": "/",
    "today, renewed": "/parts/today",
    "series": "/series",
    "series, far back": "/series?offset={far}",
    "series by patient": "/series?query=doe%5E{number}",
    "series by a patient there is none of": "/series?query=nobody",
    "series by UID": "/series?query=2.25.{number}",
    "series with failed jobs": "/series?job_state=failed",
    "one series": "/series/{number}",
    "routes": "/routes",
    "destinations": "/destinations",
    "peers": "/peers",
    "models": "/models",
    "settings": "/settings",
    "API: series": "/api/series?limit=100",
    "API: jobs": "/api/jobs?limit=100",
    "metrics": "/metrics",
}


def fill(path: Path, *, count: int) -> None:
    """A catalog with ``count`` series, each with a job, a delivery and a patient, received over a year."""
    Catalog(path).close()
    engine = create_engine(f"sqlite:///{path}")
    began = datetime.now(UTC) - timedelta(days=365)
    chance = random.Random(0)  # noqa: S311 (which job ended how)
    for start in range(1, count + 1, _BATCH):
        rows: dict[Any, list[dict[str, Any]]] = {series: [], subjects: [], jobs: [], deliveries: []}
        for key in range(start, min(start + _BATCH, count + 1)):
            at = began + timedelta(days=365 * key / count)
            end = chance.choice(_ENDS)
            why = {"reason_code": "peer_refused", "reason_sentence": "Not taken.", "reason_remedy": "See its log."}
            reason = why if end in ("failed", "refused") else dict.fromkeys(why)
            received = {"route": _ROUTE, "calling_ae": "SCANNER", "peer": "10.0.0.7"}
            rows[series].append(
                {
                    **received,
                    "id": key,
                    "series_instance_uid": f"2.25.{key}",
                    "study_instance_uid": f"2.25.{key}.1",
                    "state": "complete",
                    "instance_count": 300,
                    "conflict_count": 0,
                    "first_received_at": at,
                    "last_received_at": at,
                    "completed_at": at,
                    "completion_signal": "released",
                    "content_digest": f"{key:064d}",
                }
            )
            rows[subjects].append(
                {
                    "series_id": key,
                    "patient_id": f"P{key}",
                    "patient_name": f"DOE^{key}",
                    "accession_number": f"A{key}",
                    "study_date": "20260101",
                    "study_description": "CT",
                    "series_description": "native",
                    "sought": f"doe^{key}\np{key}\na{key}",
                }
            )
            rows[jobs].append(
                {
                    "id": key,
                    "series_id": key,
                    "route": _ROUTE,
                    "phase": "arterial",
                    "model": "demo",
                    "model_identity": "demo 1",
                    "content_digest": f"{key:064d}",
                    "state": end,
                    "instance_count": 300,
                    "attempts": 1,
                    "created_at": at,
                    "updated_at": at,
                    "started_at": at,
                    "finished_at": at,
                    "derived_series_instance_uid": f"2.25.{key}.2",
                    "details": {"seconds": {"translate": 5.0}},
                    **reason,
                }
            )
            rows[deliveries].append(
                {
                    "id": key,
                    "job_id": key,
                    "destination": "pacs",
                    "state": "done" if end == "done" else "failed",
                    "attempts": 1,
                    "created_at": at,
                    "updated_at": at,
                    "finished_at": at,
                }
            )
        with engine.begin() as connection:
            for table, values in rows.items():
                connection.execute(insert(table), values)
    engine.dispose()


@contextmanager
def started(folder: Path, *, model: str) -> Iterator[peers.Peer]:
    """A node on the catalog in ``folder``, once it is ready; what is sent stays incomplete."""
    settings = {
        "series": {"quiet_seconds": 3600.0},
        "routes": {_ROUTE: {"phase": "arterial", "model": model, "destinations": ["pacs"]}},
        "destinations": {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 1, "paused": True}},
        "retention": {"catalog_days": None},
    }

    def is_ready() -> bool:
        try:
            node.get("/readyz")
        except urllib.error.HTTPError:
            return False
        return True

    with peers.node(folder, settings) as node:
        peers.wait_until(is_ready, seconds=_READY_SECONDS, what="the node to be ready")
        yield node


def page_times(node: peers.Peer, *, count: int, requests: int) -> dict[str, list[float]]:
    """Milliseconds of every page, the pages taking turns; the first answer of each is not counted."""
    times: dict[str, list[float]] = {name: [] for name in PAGES}
    chance = random.Random(1)  # noqa: S311 (which series is looked at)
    for number in range(requests + 1):
        for name, path in PAGES.items():
            asked = path.format(number=chance.randint(1, count), far=count // 2)
            began = time.perf_counter()
            node.get(asked)
            if number:
                times[name].append(1e3 * (time.perf_counter() - began))
    return times


@contextmanager
def consoles(node: peers.Peer, count: int) -> Iterator[list[str]]:
    """So many open consoles, each renewing its first page as the page itself says; the list grows by each renewal."""
    stop = threading.Event()
    renewed: list[str] = []
    address, seconds = _renewal(node.get("/").decode())

    def renew(address: str, after: float) -> None:
        stop.wait(after)
        while not stop.is_set():
            if answer := node.get(address).decode():  # nothing: what is shown is still right
                address, _ = _renewal(answer, address)
            renewed.append(address)
            stop.wait(seconds)

    threads = [threading.Thread(target=renew, args=(address, seconds * one / count)) for one in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield renewed
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _renewal(page: str, before: str = "") -> tuple[str, float]:
    """Where a page renews itself from, and how often."""
    found = re.search(r'hx-get="([^"]+)" hx-trigger="every (\d+)s"', page)
    return (before, 0.0) if found is None else (found[1].replace("&amp;", "&"), float(found[2]))


def renewal_milliseconds(node: peers.Peer, *, count: int) -> float:
    """Processor time of the node that a renewal takes, while ``count`` consoles are open and nothing else happens."""

    def taken() -> float:
        before = peers.processor_seconds(node)
        time.sleep(_WATCHED_SECONDS)
        return peers.processor_seconds(node) - before

    idle = taken()
    with consoles(node, count) as renewed:
        open_ = taken()
        return 1e3 * (open_ - idle) / len(renewed)


def images_per_second(node: peers.Peer, folder: Path, *, images: int) -> float:
    """Receive one series of 512x512 images."""
    write_series(folder, images=images, parts=1)
    began = time.perf_counter()
    peers.send(node, [folder], called_ae=_ROUTE, options=("+r",))
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    return images / seconds


def main() -> None:
    """Measure, print the tables, write the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=40, help="of every page")
    parser.add_argument("--consoles", type=int, default=10)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--json", type=Path, default=Path("console.json"))
    options = parser.parse_args()
    if not shutil.which(peers.STORESCU):
        sys.exit(f"not installed: {peers.STORESCU}")
    with tempfile.TemporaryDirectory(prefix="console-") as work:
        folder = Path(work)
        (folder / "node" / "var").mkdir(parents=True)
        fill(folder / "node" / "var" / "catalog.sqlite", count=options.series)
        with started(folder / "node", model="demo") as node:
            times = page_times(node, count=options.series, requests=options.requests)
            each = renewal_milliseconds(node, count=options.consoles)
            rates: dict[str, list[float]] = {"none": [], "open": []}
            images_per_second(node, folder / "warm up", images=20)
            for repetition in range(options.repetitions):
                order = ("none", "open") if repetition % 2 else ("open", "none")  # what comes second is no better off
                for which in order:
                    with consoles(node, options.consoles) if which == "open" else nullcontext():
                        place = folder / f"{repetition} {which}"
                        rates[which].append(images_per_second(node, place, images=options.images))
    print(f"{options.series} series in the catalog; milliseconds of {options.requests} answers\n")
    print(f"{'page':<40}{'median':>10}{'95 %':>10}{'longest':>10}")
    for name, found in times.items():
        high = statistics.quantiles(found, n=20)[-1]
        print(f"{name:<40}{statistics.median(found):>10.0f}{high:>10.0f}{max(found):>10.0f}")
    print(f"\n{each:.1f} ms of the node's processor time for a renewal, {options.consoles} consoles open")
    ratios = [open_ / none for none, open_ in zip(rates["none"], rates["open"], strict=True)]
    print(
        f"{options.images} images received: {statistics.median(rates['none']):.0f} a second with no console, "
        f"{statistics.median(rates['open']):.0f} with {options.consoles} open; ratio of {len(ratios)} pairs: median "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )
    options.json.write_text(
        json.dumps(
            {
                "platform": platform.platform(),
                "milliseconds": times,
                "renewal_processor_milliseconds": each,
                "images_per_second": rates,
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
