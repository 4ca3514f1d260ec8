"""The outcomes of ``tests/case_outcomes.py`` when a running node gets the files: from DCMTK's storescu, and byte by byte.

storescu writes a data set anew and may mend it on the way; what it must not touch reaches the node by the other way. One
node takes everything, with an untrained model, on one route for each way. Each series goes one of the two ways,
in turn; with ``S2LDM_ALL_WAYS=1`` each goes both, and the real files, too.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from s2ldm_core.io.header import sop_instance_uid
from tests import peers
from tests.case_outcomes import (
    ACCEPTED,
    MIN_SLICES,
    NOT_SENT_BY_STORESCU,
    REAL,
    REFUSED,
    REFUSED_BY_THE_RECEIVER,
    STORESCU_OPTIONS,
)
from tests.tiny_model import write_tiny_package

pytestmark = [pytest.mark.real_data, pytest.mark.dcmtk, pytest.mark.timeout(900)]

WAYS = ("STORESCU", "BYTES")
EVERYTHING = bool(os.environ.get("S2LDM_ALL_WAYS"))
NAMES = (*ACCEPTED, *REFUSED, *(REAL if EVERYTHING else ()))
FINAL = {"done", "refused", "failed", "cancelled"}
SECONDS = 600.0


def ways(name: str) -> tuple[str, ...]:
    """The ways that the files of a name go."""
    if EVERYTHING:
        return WAYS
    by_bytes = name in NOT_SENT_BY_STORESCU or (NAMES.index(name) % 2 and name not in STORESCU_OPTIONS)
    return ("BYTES",) if by_bytes else ("STORESCU",)


@dataclass(frozen=True)
class Ended:
    """How one series ended: ``accepted`` or the reason's code, and the folder of its derived series."""

    code: str
    state: str
    folder: Path | None


@pytest.fixture(scope="module")
def inputs(cases: Path, real_data: Path) -> dict[str, list[Path]]:
    """Files by the names of the table; without what could not be generated here."""
    found = {name: sorted((cases / name).glob("*.dcm")) for name in (*ACCEPTED, *REFUSED)}
    for name in set(REAL) & set(NAMES):
        path = real_data / name
        found[name] = (
            [path]
            if path.is_file()
            else sorted(one for one in path.rglob("*") if one.is_file() and one.suffix != ".txt")
        )
    return {name: paths for name, paths in found.items() if paths}


@pytest.fixture(scope="module")
def outcomes(
    inputs: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], list[Ended]]]:
    """By name and way, how each of its series ended."""
    folder = tmp_path_factory.mktemp("wire")
    model = str(write_tiny_package(folder / "tiny", min_slices=MIN_SLICES, spacing_mm=(5.0, 6.0, 6.0)))
    route = {"phase": "arterial", "model": model, "destinations": [], "mark": "none"}
    settings = {
        "series": {"quiet_seconds": 1.0, "min_slices": MIN_SLICES},
        "routes": dict.fromkeys(WAYS, route),
        # Of volumes as small as these, threads cost more than they bring.
        "compute": {"device": "cpu", "threads": 1},
        "log": {"level": "error"},
    }
    with peers.node(folder / "node", settings) as node:
        by_bytes = [path for name, paths in inputs.items() if "BYTES" in ways(name) for path in paths]
        peers.send_bytes(node, by_bytes, called_ae="BYTES")
        _send_with_storescu(node, inputs)
        jobs = _ended(node)
        yield _by_name(node, jobs, inputs)


@pytest.mark.parametrize(("name", "way"), [(one, way) for one in NAMES for way in ways(one)])
def test_outcome(
    outcomes: dict[tuple[str, str], list[Ended]], inputs: dict[str, list[Path]], name: str, way: str
) -> None:
    _skip_what_is_not_there(inputs, name, way)
    ended = outcomes[name, way]
    codes = sorted(one.code for one in ended)

    if name in REFUSED_BY_THE_RECEIVER:
        assert codes == [REFUSED_BY_THE_RECEIVER[name]]
    elif name in REAL:
        assert codes == sorted(REAL[name])
    else:
        assert len(codes) == 1
        assert codes[0] in REFUSED.get(name, {"accepted"})
    assert {one.state for one in ended} <= {"done", "refused"}


@pytest.mark.parametrize(("name", "way"), [(one, way) for one in ACCEPTED for way in ways(one)])
def test_values_of_the_derived_series(
    outcomes: dict[tuple[str, str], list[Ended]], inputs: dict[str, list[Path]], cases: Path, name: str, way: str
) -> None:
    """As many slices as there are, and air and dense bone as they were: at their places."""
    _skip_what_is_not_there(inputs, name, way)
    truth = np.load(cases / f"{name}.npz")["hu"]
    (ended,) = outcomes[name, way]
    assert ended.folder is not None

    derived = sorted((dcmread(path) for path in ended.folder.glob("*.dcm")), key=_along_normal)

    assert len(derived) == len(truth)
    untouched = (truth < -950) | (truth > 800)
    hu = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in derived])
    difference = np.maximum(hu, -1024.0) - np.maximum(truth, -1024.0)
    assert np.abs(difference[untouched]).max() <= 1.0


def _send_with_storescu(node: peers.Peer, inputs: dict[str, list[Path]]) -> None:
    """All that it sends, in one association for each set of options; what it does not is seen by its outcome."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for name, paths in inputs.items():
        if "STORESCU" in ways(name) and name not in NOT_SENT_BY_STORESCU:
            groups[STORESCU_OPTIONS.get(name, "-R")] += paths
    for option, paths in groups.items():
        listed = sorted({path.parent for path in paths}) if option == "-R" else paths
        process = peers.storescu(node, listed, called_ae="STORESCU", options=(option, "--no-halt"))
        process.communicate(timeout=SECONDS)


def _ended(node: peers.Peer) -> list[dict[str, Any]]:
    def look() -> list[dict[str, Any]]:
        series = _all(node, "series")
        jobs = _all(node, "jobs")
        over = all(job["state"] in FINAL for job in jobs) and all(one["state"] == "complete" for one in series)
        return jobs if over else []

    return peers.wait_until(look, seconds=SECONDS, what="every job to end")


def _all(node: peers.Peer, what: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = node.get_json(f"/api/{what}?limit=1000")["items"]
    return items


def _by_name(
    node: peers.Peer, jobs: list[dict[str, Any]], inputs: dict[str, list[Path]]
) -> dict[tuple[str, str], list[Ended]]:
    """Jobs by the names of their series' UIDs; what has none by the objects in quarantine."""
    names: dict[str, str] = {}
    for name, paths in inputs.items():
        for path in paths:
            header = dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "SOPInstanceUID"])
            names[str(header.get("SeriesInstanceUID", ""))] = names[sop_instance_uid(header)] = name
    found: dict[tuple[str, str], list[Ended]] = defaultdict(list)
    for job in jobs:
        code = job["reason"]["code"] if job["reason"] else "accepted"
        folder = next((node.folder / "var" / "derived").glob(f"{job['id']}.*"), None)
        if job["series_instance_uid"]:
            found[names[job["series_instance_uid"]], job["route"]].append(Ended(code, job["state"], folder))
    for row in _all(node, "quarantine"):
        ended = Ended(row["reason"]["code"], "refused", None)
        mine = found[names[row["sop_instance_uid"]], row["route"]]
        if row["job_id"] is not None and ended not in mine:
            mine.append(ended)
    return found


def _along_normal(image: Dataset) -> float:
    cosines = np.array(image.ImageOrientationPatient, dtype=float)
    return float(np.cross(cosines[:3], cosines[3:]) @ np.array(image.ImagePositionPatient, dtype=float))


def _skip_what_is_not_there(inputs: dict[str, list[Path]], name: str, way: str) -> None:
    if name not in inputs:
        pytest.skip(f"{name} could not be generated here (a codec or DCMTK is missing)")
    if way == "STORESCU" and name in NOT_SENT_BY_STORESCU:
        pytest.skip(f"storescu does not send {name}: {NOT_SENT_BY_STORESCU[name]}")
