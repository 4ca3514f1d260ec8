"""What a store holds and how it came to be: ``manifest.yaml``, and ``rejected.csv`` for what it does not hold."""

import csv
import io
import json
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import yaml

from s2ldm_core.files import replace_text
from train.errors import TrainError
from train.prepare.options import PrepareOptions
from train.prepare.pairing import Rejection
from train.store import PairStore

MANIFEST: Final = "manifest.yaml"
REJECTED: Final = "rejected.csv"
OPTIONS: Final = "options.json"
_LIBRARIES: Final = ("SimpleITK", "numpy", "scipy", "torch", "pydicom")
_COLUMNS: Final = ("place", "phase", "code", "reason")


def keep_options(folder: Path, options: PrepareOptions) -> None:
    """Write the options of a new store; a store goes on with the options it began with.

    Raises
    ------
    TrainError
        ``store_options`` naming what differs.
    """
    path = folder / OPTIONS
    record = options.record()
    if path.is_file():
        held = json.loads(path.read_text(encoding="utf-8"))
        differing = sorted(key for key in {*held, *record} if held.get(key) != record.get(key))
        if differing:
            told = ", ".join(f"{key} was {held.get(key)}, is {record.get(key)}" for key in differing)
            raise TrainError(
                "store_options",
                f"The store {folder} was begun with other options: {told}.",
                "Give the same options, or prepare into a new folder.",
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(record, indent=1))


def write_manifest(
    folder: Path, *, names: Iterable[str], options: PrepareOptions, layout: str, rejections: Iterable[Rejection]
) -> dict[str, Any]:
    """Write ``manifest.yaml`` about the cases ``names`` of a store, and return what it says.

    Nothing in it leads back to a patient: cases and patients go by pseudonyms, series by hashes of their UIDs.
    """
    cases = [case for name in sorted(names) if (case := _case(folder, name)) is not None]
    manifest = {
        "made_by": f"s2ldm-train prepare {version('s2ldm-node')}",
        "libraries": {name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()},
        "options": options.record() | {"layout": layout},
        "digest": PairStore(folder).digest() if cases else None,
        "patients": dict(
            sorted(Counter(split for split in {c["patient"]: c["split"] for c in cases}.values()).items())
        ),
        "cases_by_phase": dict(sorted(Counter(phase for case in cases for phase in case["phases"]).items())),
        "rejected": dict(sorted(Counter(one.code for one in rejections).items())),
        "cases": cases,
    }
    replace_text(folder / MANIFEST, yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120))
    return manifest


def write_rejected(folder: Path, rejections: Iterable[Rejection]) -> None:
    """Write ``rejected.csv``; it names folders as the user named them, so it is as private as those are."""
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(_COLUMNS)
    writer.writerows(sorted({(one.place, one.phase, one.code, one.reason) for one in rejections}))
    replace_text(folder / REJECTED, table.getvalue())


def _case(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / name / "case.json"
    if not path.is_file():
        return None
    try:
        held: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        about = held["about"]
        return {
            "name": name,
            "patient": held["patient"],
            "split": held["split"],
            "spacing_mm": held["spacing_mm"],
            "phases": held["phases"],
            "organs": len(held["organs"]),
            "sources": about["sources"],
            "contradicted_tags": sorted(phase for phase, why in about["phases"].items() if why["contradicted"]),
            "quality": about["quality"],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise TrainError(
            "case_unreadable", f"{path} is damaged.", f"Remove the folder {path.parent} and run the command again."
        ) from error
