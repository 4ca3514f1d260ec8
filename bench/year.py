"""A year of the catalog and the disk: do both stay within what the configuration allows, and do sweeps stay fast?

    python -m bench.year [--days 365] [--series 200] [--sweeps 4] [--max-gib 0.05] [--json year.json]

The clock is the simulation's own; everything else is the node's. Each series comes as one or two tiny images through the
spool and the catalog's intake, completes by the catalog, and is taken through its states by the functions that the steps
call; of a hundred, 84 are delivered, eight refused, three fail, one is cancelled, two bring an object that goes to
quarantine, and two are sent again after half a day. Files lie where the node puts them. Several times a day the node's own timers
run: retention by class and by disk budget (which is set so that the days alone would exceed it), pruning of the catalog,
leases, orphans, the audit trail; once a day rows and files are held against each other.

Nothing is translated, and no image has the size of one: what is asked is how rows and files add up.
"""

import argparse
import json
import logging
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from bench.simulated_year import Day, live

_MONTH_DAYS = 30


def main() -> None:
    """Run, print the months, write the days."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--series", type=int, default=200, help="a day")
    parser.add_argument("--sweeps", type=int, default=4, help="a day, of each of the node's timers")
    parser.add_argument("--max-gib", type=float, default=0.05)
    parser.add_argument("--catalog-days", type=float, default=90.0)
    parser.add_argument("--folder", type=Path, help="where the node's files are; default: one that is removed")
    parser.add_argument("--json", type=Path, default=Path("year.json"))
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    retention = {
        "source_days": 7.0,
        "derived_days": 7.0,
        "refused_days": 30.0,
        "failed_days": 60.0,
        "quarantine_days": 60.0,
        "catalog_days": options.catalog_days,
        "max_gib": options.max_gib,
    }
    begun = time.perf_counter()

    def tell(day: Day) -> None:
        if day.day in (1, 10, options.days) or day.day % _MONTH_DAYS == 0:
            print(
                f"{day.day:>4}{day.series:>9}{day.rows:>9}{day.catalog_kib:>10}{day.files:>8}{day.file_kib:>10}{day.audit_kib:>10}"
                f"{day.retention_ms:>11.0f}{day.orphans_ms:>9.0f}{day.completion_ms:>12.0f}",
                flush=True,
            )

    print(
        f"{options.series} series a day; files may take {options.max_gib * 2**20:.0f} KiB; slowest sweep of the day in ms"
    )
    print(
        f"{'day':>4}{'series':>9}{'rows':>9}{'catalog':>10}{'files':>8}{'KiB':>10}{'audit':>10}{'retention':>11}{'orphans':>9}{'completion':>12}"
    )
    with tempfile.TemporaryDirectory(prefix="year-") as temporary:
        days, wrong = live(
            options.folder or Path(temporary),
            days=options.days,
            series=options.series,
            sweeps=options.sweeps,
            retention=retention,
            tell=tell,
        )
    over = [day.day for day in days if day.file_kib > options.max_gib * 2**20]
    wrong += [f"files beyond the budget at the end of day {day}" for day in over]
    seconds = time.perf_counter() - begun
    print(
        f"{len(days)} days in {seconds:.0f} s; {len(wrong)} faults" + "".join(f"\nFAILED {one}" for one in wrong[:20])
    )
    for name, first, last in _early_and_late(days):
        print(
            f"{name}: {first:.0f} ms around day 10, {last:.0f} ms in the last ten days (medians of the slowest of each)"
        )
    document = {
        "platform": platform.platform(),
        "options": {key: str(value) for key, value in vars(options).items()},
        "retention": retention,
        "seconds": seconds,
        "wrong": wrong,
        "days": [vars(day) for day in days],
    }
    options.json.write_text(json.dumps(document, indent=2) + "\n")
    print(f"raw numbers: {options.json}")
    sys.exit(bool(wrong))


def _early_and_late(days: Sequence[Day]) -> list[tuple[str, float, float]]:
    early, late = days[5:15], days[-10:]
    return [
        (name, *(statistics.median(getattr(day, f"{name}_ms") for day in some) for some in (early, late)))
        for name in ("retention", "orphans", "completion")
        if early
    ]


if __name__ == "__main__":
    main()
