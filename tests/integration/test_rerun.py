"""Sent again, broken off, late: what `jobs list` says and what a real Orthanc holds afterwards.

With an untrained model. How destinations without Key Object documents are treated: ``tests/fault/test_rerun.py``.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage, SecondaryCaptureImageStorage
from pynetdicom import AE

from tests import peers
from tests.peers import destination
from tests.tiny_model import write_tiny_package

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]

EARLY, ALL = 5, 8
SECONDS = 120.0

NodeStarter = Callable[..., peers.Peer]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A phantom of eight slices, in the order of their places."""
    from s2ldm_core.phantom import Phantom
    from s2ldm_core.phantom.dicom import write_series

    folder = tmp_path_factory.mktemp("source")
    write_series(Phantom(seed=7, matrix=(96, 96), slices=ALL, region="abdomen"), folder, phase="native")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def node(start_node: NodeStarter, orthanc: peers.Peer, package: str) -> peers.Peer:
    def route(**more: Any) -> dict[str, Any]:
        return {
            "phase": "arterial",
            "model": package,
            "destinations": ["pacs"],
            "anatomy": "any",
            "enhancement_check": "tags",
            **more,
        }

    return start_node(
        {
            "series": {"quiet_seconds": 0.5, "open_association_seconds": 1.0, "min_slices": 4},
            "routes": {"CECT_ART": route(), "AGAIN": route(resend="redeliver")},
            "destinations": {"pacs": {**destination(orthanc), "retry_seconds": 0.5}},
        }
    )


def settled(node: peers.Peer, count: int) -> list[dict[str, Any]]:
    """The jobs, oldest first, once there are ``count``, all have ended, and every series is complete."""

    def look() -> list[dict[str, Any]]:
        series = node.get_json("/api/series")["items"]
        found: list[dict[str, Any]] = node.get_json("/api/jobs")["items"]
        ended = all(job["state"] in ("done", "failed", "refused", "cancelled") for job in found)
        complete = all(one["state"] == "complete" for one in series)
        return found if len(found) == count and ended and complete else []

    return peers.wait_until(look, seconds=SECONDS, what=f"{count} jobs to end")[::-1]


def told(node: peers.Peer) -> dict[int, str]:
    """The REASON of every job in the table of `jobs list`."""
    command = [str(Path(sys.executable).with_name("s2ldm-node")), "jobs", "list", "--config"]
    done = subprocess.run([*command, str(node.folder / "node.yaml")], capture_output=True, text=True, check=True)
    header, *rows = done.stdout.splitlines()
    start = header.index("REASON")
    return {int(row.split()[0]): row[start:].strip() for row in rows if row.split() and row.split()[0].isdigit()}


def held(orthanc: peers.Peer) -> list[Dataset]:
    """Everything that Orthanc holds, in the order in which it came."""
    names = [
        change["ID"]
        for change in orthanc.get_json("/changes?limit=1000")["Changes"]
        if change["ChangeType"] == "NewInstance"
    ]
    return [dcmread(BytesIO(orthanc.get(f"/instances/{name}/file"))) for name in names]


def abort_after(node: peers.Peer, paths: list[Path], *, called_ae: str) -> None:
    """Send images over an association that is then aborted (PS3.8 7.3)."""
    entity = AE("SENDER")
    for path in paths[:1]:
        header = dcmread(path, stop_before_pixels=True)
        entity.add_requested_context(header.SOPClassUID, header.file_meta.TransferSyntaxUID)
    association = entity.associate(peers.HOST, node.port, ae_title=called_ae)
    assert association.is_established
    for path in paths:
        assert association.send_c_store(path).Status == 0x0000
    association.abort()


def check_replaced(node: peers.Peer, orthanc: peers.Peer, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Orthanc holds both derived series and, last of all, the note that rejects the first; the list names both jobs."""
    objects = held(orthanc)
    assert [one.SOPClassUID for one in objects] == [
        *[SecondaryCaptureImageStorage] * (EARLY + ALL),
        KeyObjectSelectionDocumentStorage,
    ]
    earlier, later, note = objects[:EARLY], objects[EARLY:-1], objects[-1]
    assert {one.SeriesInstanceUID for one in earlier} == {first["derived_series_instance_uid"]}
    assert {one.SeriesInstanceUID for one in later} == {second["derived_series_instance_uid"]}
    title = note.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113001", "DCM")
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == first["derived_series_instance_uid"]
    assert {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence} == {
        one.SOPInstanceUID for one in earlier
    }
    assert {one.StudyInstanceUID for one in objects} == {study.StudyInstanceUID}
    assert {"replaces earlier" in one.SeriesDescription for one in later} == {True}

    assert (first["superseded_by"], second["supersedes"]) == (second["id"], [first["id"]])
    assert told(node) == {
        first["id"]: f"Superseded by job {second['id']}.",
        second["id"]: f"Supersedes job {first['id']}.",
    }


def test_a_late_slice_makes_a_series_that_replaces_the_first(
    node: peers.Peer, orthanc: peers.Peer, source: list[Path]
) -> None:
    peers.send(node, source[:EARLY], called_ae="CECT_ART")
    settled(node, 1)

    peers.send(node, source[EARLY:], called_ae="CECT_ART")

    first, second = settled(node, 2)
    assert (first["state"], first["instances"], second["state"], second["instances"]) == ("done", EARLY, "done", ALL)
    check_replaced(node, orthanc, first, second)


def test_the_whole_series_after_an_abort_replaces_what_was_made_of_a_part(
    node: peers.Peer, orthanc: peers.Peer, source: list[Path]
) -> None:
    abort_after(node, source[:EARLY], called_ae="CECT_ART")
    (job,) = settled(node, 1)
    assert job["completion_signal"] == "quiet", "an abort is no sign of completeness"

    peers.send(node, source, called_ae="CECT_ART")

    first, second = settled(node, 2)
    assert second["completion_signal"] == "released"
    check_replaced(node, orthanc, first, second)


def test_the_whole_series_soon_after_an_abort_is_one_job(
    node: peers.Peer, orthanc: peers.Peer, source: list[Path]
) -> None:
    abort_after(node, source[:EARLY], called_ae="CECT_ART")
    peers.send(node, source, called_ae="CECT_ART")

    (job,) = settled(node, 1)
    assert (job["state"], job["instances"]) == ("done", ALL)
    assert [one.SOPClassUID for one in held(orthanc)] == [SecondaryCaptureImageStorage] * ALL


def test_a_series_sent_again_is_only_noted_on_a_route_that_ignores_it(
    node: peers.Peer, orthanc: peers.Peer, source: list[Path]
) -> None:
    peers.send(node, source, called_ae="CECT_ART")
    (job,) = settled(node, 1)
    forget(orthanc)

    peers.send(node, source, called_ae="CECT_ART")

    peers.wait_until(lambda: told(node)[job["id"]], seconds=SECONDS, what="a note of the second sending")
    assert told(node) == {job["id"]: "The same series was sent again."}
    settled(node, 1)
    assert orthanc.get_json("/instances") == []

    # It has its files still, so that it can be taken in on the other route without its sender.
    series = node.get_json("/api/series")["items"][0]["key"]
    wanted = json.dumps({"route": "AGAIN"}).encode()
    address = f"http://{peers.HOST}:{node.http_port}/api/series/{series}/requeue"
    with urlopen(Request(address, wanted, {"content-type": "application/json"}), timeout=30) as answer:
        assert json.load(answer) == {"taken_in": ALL}
    _, other = settled(node, 2)
    assert (other["route"], other["state"], other["instances"]) == ("AGAIN", "done", ALL)
    assert len(held(orthanc)) == ALL


def test_a_series_sent_again_is_delivered_again_to_an_archive_that_has_lost_it(
    node: peers.Peer, orthanc: peers.Peer, source: list[Path]
) -> None:
    peers.send(node, source, called_ae="AGAIN")
    (job,) = settled(node, 1)
    first = {one.SOPInstanceUID: one for one in held(orthanc)}
    assert len(first) == ALL
    forget(orthanc)

    peers.send(node, source, called_ae="AGAIN")

    peers.wait_until(
        lambda: len(orthanc.get_json("/instances")) == ALL, seconds=SECONDS, what="the series to be delivered again"
    )
    settled(node, 1)
    assert told(node) == {job["id"]: "The same series was sent again."}
    again = {
        one.SOPInstanceUID: one
        for one in (dcmread(BytesIO(orthanc.get(f"/instances/{name}/file"))) for name in orthanc.get_json("/instances"))
    }
    assert again == first


def test_a_series_sent_again_after_a_change_of_the_phase_comes_in_both(
    node: peers.Peer, orthanc: peers.Peer, source: list[Path]
) -> None:
    peers.send(node, source, called_ae="CECT_ART")
    settled(node, 1)
    address = f"http://{peers.HOST}:{node.http_port}/api/config"
    text = json.loads(urlopen(address, timeout=30).read())["text"]
    change = json.dumps({"text": text.replace("phase: arterial", "phase: venous", 1)}).encode()
    headers = {"content-type": "application/json"}
    urlopen(Request(address, data=change, headers=headers, method="PUT"), timeout=30).close()

    peers.send(node, source, called_ae="CECT_ART")

    first, second = settled(node, 2)
    assert (first["phase"], second["phase"]) == ("arterial", "venous")
    assert (first["superseded_by"], second["supersedes"]) == (None, [])
    objects = held(orthanc)
    assert {one.SOPClassUID for one in objects} == {SecondaryCaptureImageStorage}, "no note rejects the first"
    by_series = {one.SeriesInstanceUID: one.SeriesDescription.lower() for one in objects}
    assert len(objects) == 2 * ALL
    assert "arterial" in by_series[first["derived_series_instance_uid"]]
    assert "venous" in by_series[second["derived_series_instance_uid"]]
    assert len({one.SeriesNumber for one in objects}) == 2


def forget(orthanc: peers.Peer) -> None:
    """Delete everything that Orthanc holds, as an archive that lost a disk."""
    for name in orthanc.get_json("/patients"):
        request = Request(f"http://{peers.HOST}:{orthanc.http_port}/patients/{name}", method="DELETE")
        with urlopen(request, timeout=30) as answer:  # noqa: S310
            json.load(answer)
    assert orthanc.get_json("/instances") == []
