"""Whether a node stays as it is under thousands of mutated instances and PDUs.

    python -m bench.mutants [--objects 14000] [--conversations 7000] [--seed 1] [--json mutants.json]

What is sent are the data sets of pydicom's, pynetdicom's and DCMTK's own test files, damaged in one to four ways that
Hypothesis draws (`tests.mutated_objects.WAYS`), and conversations of every service the node has, said wrong
(`tests.mutated_conversations.WAYS`). After each two hundred a sound object must be answered 0x0000 within five seconds
by the same processes, none of which may take more than 512 MiB. At the end every object that was answered 0x0000 must be
on disk byte for byte, no file anywhere but in its place, no patient's name in the log, and every series selected, refused
or in quarantine with a reason. Exit code 1 if anything failed; the JSON names each, with what makes it again.
"""

import argparse
import json
import logging
import platform
import sys
import tempfile
import time
from pathlib import Path

from bench.turnaround import is_ready
from tests import peers
from tests.barrage import ROUTE, Barrage
from tests.mutant_report import Report
from tests.tiny_model import write_tiny_package


def barrage(
    folder: Path, *, objects: int, conversations: int, seed: int, patience_seconds: float, report: Report
) -> None:
    """Run a node in ``folder``, send it all that, and fill in the report."""
    model = write_tiny_package(folder / "tiny", min_slices=6)
    asked = {
        # A sender that was cut off is waited for, by default for five minutes.
        "series": {"quiet_seconds": 2.0, "open_association_seconds": 3.0, "min_slices": 6},
        "routes": {
            ROUTE: {
                "phase": "arterial",
                "model": str(model),
                "destinations": [],
                "anatomy": "any",
                "enhancement_check": "tags",
            }
        },
    }
    with peers.node(folder / "node", asked) as node:
        peers.wait_until(lambda: is_ready(node), seconds=120.0, what="the node to be ready")
        one = Barrage(node, seed=seed, report=report)
        one.objects(objects)
        one.conversations(conversations)
        one.examined(seconds=patience_seconds)
        one.kept()


def main() -> None:
    """Run, print, write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=14_000)
    parser.add_argument("--conversations", type=int, default=7_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=1800.0, help="seconds for the last series to be looked at")
    parser.add_argument("--folder", type=Path, help="where node and files stay; default: one that is removed")
    parser.add_argument("--json", type=Path, default=Path("mutants.json"))
    options = parser.parse_args()
    # Of values that its own test files hold, pydicom warns by the thousand.
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    begun, report = time.monotonic(), Report()
    try:
        with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
            barrage(
                options.folder or Path(temporary),
                objects=options.objects,
                conversations=options.conversations,
                seed=options.seed,
                patience_seconds=options.patience,
                report=report,
            )
    finally:  # of a run that is broken off, what there was
        seconds = time.monotonic() - begun
        _print(report, seconds=seconds)
        document = {"platform": platform.platform(), "seed": options.seed, "seconds": seconds, **vars(report)}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
        print(f"raw numbers: {options.json}")
    sys.exit(bool(report.failures))


def _print(report: Report, *, seconds: float) -> None:
    print(f"{report.objects} mutated instances, {report.conversations} conversations, {seconds:.0f} s")
    print("answers: " + ", ".join(f"{status} {count}" for status, count in report.statuses.most_common()))
    print(f"a sound object took {report.slowest_sound_seconds:.2f} s at most")
    print("memory at most: " + ", ".join(f"{kind} {held / 1024:.0f} MiB" for kind, held in report.most_kib.items()))
    print(f"all series looked at {report.examining_seconds:.0f} s after the last was sent:")
    for outcome, count in report.outcomes.items():
        print(f"  {count:>6}  {outcome}")
    for failure in report.failures[:20]:
        print(f"FAILED {failure}")
    print(f"{len(report.failures)} failures")


if __name__ == "__main__":
    main()
