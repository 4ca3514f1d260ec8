"""The main job with real programs only: DCMTK sends, the node translates, Orthanc receives.

Not covered here: whether the synthesised enhancement is right, which the model's own evaluation measures.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.deliver.destinations.dicom.scu import send_files
from dicom_node.derive.mark import place_of
from s2ldm_core.io import read_volume
from tests import peers
from tests.peers import destination
from tests.thorough import thorough
from tests.tiny_model import with_spread, write_tiny_package

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]

ALLOWED = Path(__file__).with_name("dciodvfy_allowed.txt")
ROUTES = {"CECT_ART": "arterial", "CECT_VEN": "venous"}
TRANSLATION_SECONDS = 240.0
SETTLE_SECONDS = 60.0
FINAL = {"done", "refused", "failed", "cancelled"}
GEOMETRY = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SliceLocation",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
)
IDENTITY = ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber")

NodeStarter = Callable[..., peers.Peer]


def settings(*pacs: dict[str, Any], model: str = "demo", min_slices: int = 8) -> dict[str, Any]:
    return {
        "series": {"quiet_seconds": 1.0, "min_slices": min_slices},
        "routes": {
            title: {"phase": phase, "model": model, "destinations": ["pacs"]} for title, phase in ROUTES.items()
        },
        "destinations": {"pacs": {**pacs[0], "retry_seconds": 0.5, "retry_max_seconds": 2.0}},
    }


def jobs(node: peers.Peer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = node.get_json("/api/jobs?limit=1000")["items"]
    return items


def settled(node: peers.Peer, count: int, *, seconds: float = TRANSLATION_SECONDS) -> list[dict[str, Any]]:
    """The jobs, once there are `count` and all have come to an end."""

    def look() -> list[dict[str, Any]]:
        found = jobs(node)
        return found if len(found) >= count and all(job["state"] in FINAL for job in found) else []

    try:
        return peers.wait_until(look, seconds=seconds, what=f"{count} jobs to end")
    except peers.PeerError as error:
        raise AssertionError(f"{error}: {json.dumps(jobs(node), indent=1)[:4000]}") from error


def complete(node: peers.Peer, count: int) -> None:
    """Wait until `count` series are complete."""

    def look() -> bool:
        items = node.get_json("/api/series?limit=1000")["items"]
        return sum(one["state"] == "complete" for one in items) >= count == len(items)

    peers.wait_until(look, seconds=SETTLE_SECONDS, what=f"{count} series to be complete")


def fetch(orthanc: peers.Peer, folder: Path, series_uid: str) -> list[Path]:
    """Everything that Orthanc holds of one series, as files."""
    folder.mkdir(parents=True)
    paths = []
    for instance in orthanc.get_json("/instances?expand"):
        content = orthanc.get(f"/instances/{instance['ID']}/file")
        if dcmread(BytesIO(content), specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID == series_uid:
            path = folder / f"{instance['MainDicomTags']['SOPInstanceUID']}.dcm"
            path.write_bytes(content)
            paths.append(path)
    return paths


def position(dataset: Dataset) -> tuple[float, ...]:
    return tuple(map(float, dataset.ImagePositionPatient))


def by_position(paths: Iterable[Path]) -> dict[tuple[float, ...], Dataset]:
    return {position(dataset): dataset for dataset in map(dcmread, paths)}


def check_derived(source: Path, derived: list[Path], *, phase: str) -> None:
    """Every instance of a derived series against the source slice at its place."""
    slices, results = by_position(source.iterdir()), by_position(derived)
    assert set(results) == set(slices)
    assert len({one.SeriesInstanceUID for one in results.values()}) == 1
    assert len({one.SOPInstanceUID for one in results.values()}) == len(slices)
    assert len({(one.RescaleIntercept, one.RescaleSlope) for one in results.values()}) == 1
    for place, result in results.items():
        original = slices[place]
        for keyword in (*GEOMETRY, *IDENTITY):
            if keyword in original:
                assert result.get_item(keyword).value == original.get_item(keyword).value, keyword
        assert result.SOPClassUID == SecondaryCaptureImageStorage
        assert (result.Modality, result.ConversionType, result.SyntheticData) == ("CT", "SYN", "YES")
        assert list(result.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert result.SeriesInstanceUID != original.SeriesInstanceUID
        assert result.SeriesDescription.startswith("SYNTHETIC")
        assert phase in result.SeriesDescription.lower()
        assert result.RescaleType == "HU"
        assert (result.BitsAllocated, result.PixelRepresentation) == (16, 0)
        assert result.PhotometricInterpretation == "MONOCHROME2"
        assert "Not acquired" in result.ImageComments
        assert [one.ReferencedSOPInstanceUID for one in result.SourceImageSequence] == [original.SOPInstanceUID]
        purpose = result.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0]
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121322", "DCM")
        roles = [
            equipment.PurposeOfReferenceCodeSequence[0].CodeValue for equipment in result.ContributingEquipmentSequence
        ]
        assert "109100" in roles
        assert not [element for element in result if element.keyword.startswith("ContrastBolus")]


def check_grid(source: Path, derived: Path) -> None:
    """SimpleITK sees the derived series on the source's grid, exactly."""

    def read(folder: Path) -> SimpleITK.Image:
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        return reader.Execute()

    original, result = read(source), read(derived)
    assert result.GetSize() == original.GetSize()
    assert result.GetOrigin() == original.GetOrigin()
    assert result.GetSpacing() == original.GetSpacing()
    assert result.GetDirection() == original.GetDirection()


def check_dciodvfy(source: Path, derived: list[Path]) -> None:
    """No message beyond the reviewed list and what is said of the source's own values."""

    def messages(path: Path) -> set[str]:
        done = subprocess.run(["/usr/bin/dciodvfy", str(path)], capture_output=True, text=True, timeout=60, check=False)
        return {line for line in (done.stdout + done.stderr).splitlines() if line.strip()}

    lines = ALLOWED.read_text(encoding="utf-8").splitlines()
    allowed = [re.compile(line) for line in lines if line.strip() and not line.startswith("#")]
    of_source: set[str] = set().union(*map(messages, source.iterdir()))
    for path in derived:
        unexpected = {
            message
            for message in messages(path) - of_source
            if not any(pattern.fullmatch(message) for pattern in allowed)
        }
        assert unexpected == set(), path.name


def run_both_routes(
    source: Path, node: peers.Peer, orthanc: peers.Peer, folder: Path
) -> dict[str, tuple[dict[str, Any], list[Path]]]:
    """Send to both routes and wait; each route's job, and the files that Orthanc holds of its derived series."""
    for title in ROUTES:
        peers.send(node, [source], called_ae=title)
    ended = settled(node, len(ROUTES))
    assert {job["state"] for job in ended} == {"done"}, [job["reason"] for job in ended]
    return {
        job["route"]: (job, fetch(orthanc, folder / job["route"], job["derived_series_instance_uid"])) for job in ended
    }


def check_sent_again(source: Path, node: peers.Peer, orthanc: peers.Peer) -> None:
    """The same series again makes nothing new."""
    before, held = jobs(node), orthanc.get_json("/statistics")["CountInstances"]
    for title in ROUTES:
        peers.send(node, [source], called_ae=title)
    complete(node, len(ROUTES))
    after = jobs(node)
    assert [(job["id"], job["state"]) for job in after] == [(job["id"], job["state"]) for job in before]
    assert orthanc.get_json("/statistics")["CountInstances"] == held


@pytest.fixture(scope="module")
def tiny_package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("models") / "tiny"))


def check_uncertainty(
    source: Path, node: peers.Peer, orthanc: peers.Peer, folder: Path, *, job: dict[str, Any], derived: list[Path]
) -> None:
    """The second derived series that Orthanc holds, and the node's own picture of it."""
    told = fetch(orthanc, folder, job["uncertainty_series_instance_uid"])
    check_derived(source, told, phase="venous")
    check_grid(source, folder)
    slices, synthetic = by_position(told), by_position(derived)
    (number,) = {one.SeriesNumber for one in slices.values()}
    assert {number - one.SeriesNumber for one in synthetic.values()} == {1}
    assert {tuple(one.ImageType[3:]) for one in slices.values()} == {("UNCERTAINTY",)}
    assert {one.SeriesDescription.partition(" venous")[0] for one in slices.values()} == {"SYNTHETIC UNCERTAINTY"}
    highest = 0
    for place, one in slices.items():
        assert synthetic[place].SeriesInstanceUID in one.DerivationDescription
        values = one.pixel_array + float(one.RescaleIntercept)
        if box := place_of(one.DerivationDescription):
            values[box] = 0
        assert values.min() >= 0
        highest = max(highest, values.max())
    assert highest > 0
    series = next(one["key"] for one in node.get_json("/api/series")["items"] if one["route"] == job["route"])
    png = node.get(f"/api/series/{series}/image.png?of=uncertainty&index=6&center=50&width=100")
    picture = np.asarray(Image.open(BytesIO(png)))
    middle = slices[sorted(slices, key=lambda place: -place[2])[6]]
    hu = middle.pixel_array + float(middle.RescaleIntercept)
    np.testing.assert_allclose(picture, 255 * np.clip(hu / 100, 0, 1), atol=0.51)


def test_a_phantom_goes_the_whole_way(
    phantom_series: Path, orthanc: peers.Peer, start_node: NodeStarter, tiny_package: str, tmp_path: Path
) -> None:
    """With an untrained model: everything but the picture itself. One route tells its uncertainty."""
    package = str(with_spread(Path(tiny_package), tmp_path / "told"))
    configured = settings({**destination(orthanc), "verify": "find"}, model=package)
    configured["routes"]["CECT_VEN"]["uncertainty"] = True
    node = start_node(configured)
    results = run_both_routes(phantom_series, node, orthanc, tmp_path / "out")
    assert set(results) == set(ROUTES)
    for title, (job, derived) in results.items():
        assert len(derived) == len(list(phantom_series.iterdir()))
        check_derived(phantom_series, derived, phase=ROUTES[title])
        check_grid(phantom_series, derived[0].parent)
        assert job["completion_signal"] == "released"
    art, ven = (job["derived_series_instance_uid"] for job, _ in results.values())
    assert art != ven
    told, derived = results["CECT_VEN"]
    assert results["CECT_ART"][0]["uncertainty_series_instance_uid"] is None
    check_uncertainty(phantom_series, node, orthanc, tmp_path / "told series", job=told, derived=derived)
    check_sent_again(phantom_series, node, orthanc)


@thorough
@pytest.mark.real_data
@pytest.mark.dciodvfy
def test_a_real_chest_goes_the_whole_way(
    real_data: Path, orthanc: peers.Peer, start_node: NodeStarter, tmp_path: Path
) -> None:
    """With the bundled model: what is not enhanced keeps its HU within 1, but for the visible mark."""
    source = real_data / "series" / "ncct-chest-siemens"
    node = start_node(settings(destination(orthanc)))
    results = run_both_routes(source, node, orthanc, tmp_path / "out")
    original = read_volume(source)
    for title, (_, derived) in results.items():
        assert len(derived) == 19
        check_derived(source, derived, phase=ROUTES[title])
        check_grid(source, derived[0].parent)
        check_dciodvfy(source, derived)
        result = read_volume(derived[0].parent)
        assert np.allclose(result.affine, original.affine)
        change = result.hu - original.hu
        box = place_of(dcmread(derived[0]).DerivationDescription)
        assert box is not None
        assert np.ptp(result.hu[(slice(None), *box)]) == 4095
        change[(slice(None), *box)] = 0
        kept = (original.hu < -300) | (original.hu > 500)
        assert np.abs(change[kept]).max() <= 1.0
        assert np.abs(change).max() > 5.0
    check_sent_again(source, node, orthanc)


def not_dicom(node: peers.Peer, paths: list[Path]) -> None:
    """Send `paths` with pynetdicom, and bytes that are no DICOM in the middle of them."""
    from pynetdicom import AE
    from pynetdicom.dimse_primitives import C_STORE

    ae = AE("SENDER")
    for path in paths[:1]:
        header = dcmread(path, stop_before_pixels=True)
        ae.add_requested_context(header.SOPClassUID, header.file_meta.TransferSyntaxUID)
    association = ae.associate(peers.HOST, node.port, ae_title="CECT_ART")
    assert association.is_established
    assert association.send_c_store(paths[0]).Status == 0x0000
    request = C_STORE()
    request.MessageID, request.Priority = 9, 0
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = header.SOPClassUID, "1.2.3.4.5"
    request.DataSet = BytesIO(b"This is not DICOM at all. " * 100)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert response is not None
    assert response.Status == 0xB007
    for path in paths[1:]:
        assert association.send_c_store(path).Status == 0x0000
    association.release()


def refused(node: peers.Peer) -> dict[str | None, tuple[str, str]]:
    """Reason code and sentence of each refused job, by Series Instance UID; read with ``jobs list``."""
    command = [str(Path(sys.executable).with_name("s2ldm-node")), "jobs", "list", "--json", "--config"]
    done = subprocess.run([*command, str(node.folder / "node.yaml")], capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    return {
        row["series_instance_uid"]: (row["reason"]["code"], row["reason"]["sentence"])
        for row in rows
        if row["state"] == "refused"
    }


def series_uid(path: Path) -> str:
    uid: str = dcmread(path, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID
    return uid


@pytest.mark.real_data
def test_what_must_not_be_translated_gets_its_reason(
    real_data: Path,
    phantom_series: Path,
    orthanc: peers.Peer,
    start_node: NodeStarter,
    tiny_package: str,
    tmp_path: Path,
) -> None:
    node = start_node(settings(destination(orthanc), model=tiny_package))
    # Our own output, as the PACS would route it back.
    peers.send(node, [phantom_series], called_ae="CECT_ART")
    (job,) = settled(node, 1)
    own = fetch(orthanc, tmp_path / "own", job["derived_series_instance_uid"])
    peers.send(node, [own[0].parent], called_ae="CECT_ART", options=("-R",))

    odd = real_data / "odd"
    senders = {
        "enhanced": [real_data / "series" / "cect-chest-ge-lungkernel"],
        "tilted": [real_data / "series" / "ncct-head-ge-tilt"],
        "localizer": [odd / "philips-phantom-nonaxial" / "localizer_S1000_I10"],
        "screen capture": [odd / "philips-phantom-nonaxial" / "examsummary_S4010_I40"],
        "one slice": [sorted((real_data / "series" / "ncct-chest-siemens").iterdir())[0]],
    }
    uids = {"own output": series_uid(own[0])}
    for name, paths in senders.items():
        first = sorted(paths[0].iterdir())[0] if paths[0].is_dir() else paths[0]
        uids[name] = series_uid(first)
        peers.send(node, paths, called_ae="CECT_ART", options=("-R",))
    not_dicom(node, sorted((real_data / "series" / "ncct-chest-siemens").iterdir())[1:4])
    # The phantom, six series of which one joins the slices sent around the bytes that are no DICOM, and those bytes.
    settled(node, len(uids) + 2)
    reasons = refused(node)
    assert set(uids.values()) | {None} == set(reasons)
    codes = {name: reasons[uid][0] for name, uid in uids.items()} | {"not DICOM": reasons[None][0]}
    assert len(set(codes.values())) == len(codes), codes
    for code, sentence in reasons.values():
        assert len(sentence) > 20, code
    assert orthanc.get_json("/statistics")["CountInstances"] == len(own)
    held = list((node.folder / "var" / "quarantine").iterdir())
    assert len(held) == 1
    assert held[0].read_bytes().endswith(b"This is not DICOM at all. ")


def test_a_destination_that_is_down_gets_the_series_once_it_is_up(
    phantom_series: Path, start_node: NodeStarter, tiny_package: str, tmp_path: Path
) -> None:
    port = peers.free_port()
    node = start_node(settings({"ae_title": "ORTHANC", "host": peers.HOST, "port": port}, model=tiny_package))
    peers.send(node, [phantom_series], called_ae="CECT_VEN")

    def failed_attempt() -> bool:
        items = node.get_json("/api/deliveries")["items"]
        return bool(items) and items[0]["attempts"] >= 2 and items[0]["reason"] is not None

    peers.wait_until(failed_attempt, seconds=TRANSLATION_SECONDS, what="two attempts to deliver")
    (job,) = jobs(node)
    assert job["state"] == "delivering"
    with peers.orthanc(tmp_path / "orthanc", port=port) as orthanc:
        (job,) = settled(node, 1)
        assert job["state"] == "done"
        derived = fetch(orthanc, tmp_path / "out", job["derived_series_instance_uid"])
        check_derived(phantom_series, derived, phase="venous")


def test_one_series_over_two_associations_is_one_job(
    phantom_series: Path, orthanc: peers.Peer, start_node: NodeStarter, tiny_package: str
) -> None:
    node = start_node(settings(destination(orthanc), model=tiny_package))
    paths = sorted(phantom_series.iterdir())
    target = DicomSettings(ae_title="CECT_ART", host=peers.HOST, port=node.port)
    for part in (paths[::2], paths[1::2]):
        assert {one.status for one in send_files(part, target, calling_ae="SENDER")} == {0x0000}
    (job,) = settled(node, 1)
    assert (job["state"], job["instances"]) == ("done", len(paths))
