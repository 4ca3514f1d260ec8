"""DCMTK, Orthanc and pynetdicom pull the node's derived series."""

import json
import os
import signal
import ssl
import subprocess
import threading
import time
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_node.catalog import Catalog
from dicom_node.config import Settings, parse_settings
from dicom_node.derive.step import DeriveStep
from dicom_node.receive import ListenerProcesses
from dicom_node.service.moving import carry
from dicom_node.tls import ServerTls
from tests import peers
from tests.certificates import Pem, make_pems
from tests.ct_series import ct_slice
from tests.tiny_model import translated_job

GETSCU, MOVESCU, FINDSCU = "/usr/bin/getscu", "/usr/bin/movescu", "/usr/bin/findscu"
SLICES, SIZE = 6, 64
GET, MOVE = StudyRootQueryRetrieveInformationModelGet, StudyRootQueryRetrieveInformationModelMove


class Series(NamedTuple):
    """A derived series on disk."""

    study: str
    uid: str
    files: dict[str, Path]


class Stand(NamedTuple):
    """The node's listeners with what they hold, DCMTK's storage SCP that they may move to, and certificates."""

    settings: Settings
    series: list[Series]
    scp: peers.Peer
    orthanc: peers.Peer
    pems: dict[str, Pem]

    @property
    def address(self) -> list[str]:
        return [peers.HOST, str(self.settings.node.port)]

    @property
    def audit(self) -> str:
        folder = self.settings.node.data_dir / "audit"
        return "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.log")))


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("stand")
    pems = make_pems(folder)
    port = peers.free_port()
    modality = {"AET": "S2LDM", "Host": peers.HOST, "Port": port, "AllowStore": True}
    with ExitStack() as running:
        scp = running.enter_context(peers.storescp(folder / "scp", options=("--fork", "+B")))
        orthanc = running.enter_context(
            peers.orthanc(folder / "orthanc", options={"DicomModalities": {"node": modality}})
        )
        settings = parse_settings(
            {
                "node": {
                    "data_dir": str(folder / "data"),
                    "host": peers.HOST,
                    "port": port,
                    "min_free_mib": 0,
                    "tls": {
                        "port": peers.free_port(),
                        "certificate": str(pems["node"].certificate),
                        "key": str(pems["node"].key),
                    },
                    "peers": [
                        {"ae_title": "VIEWER"},
                        {"ae_title": "ORTHANC"},
                        {"ae_title": "ONE", "max_retrievals": 1},
                        {"ae_title": "NONE", "max_retrievals": 0},
                    ],
                },
                "routes": {"CECT_ART": {"phase": "arterial", "destinations": []}},
                "destinations": {
                    "scp": peers.destination(scp),
                    "orthanc": peers.destination(orthanc),
                    "paused": {**peers.destination(scp), "ae_title": "PAUSED", "paused": True},
                    "gone": {"ae_title": "GONE", "host": peers.HOST, "port": peers.free_port()},
                },
            }
        )
        catalog = running.enter_context(Catalog(settings.catalog_location))
        series = [_derive(settings, catalog, folder, number) for number in (1, 2, 3)]
        listeners = ListenerProcesses(settings, carry=carry)
        listeners.start()
        running.callback(listeners.stop, grace_seconds=0.5)
        yield Stand(settings, series, scp, orthanc, pems)


def _derive(settings: Settings, catalog: Catalog, folder: Path, number: int) -> Series:
    """The second and the third are of one patient and study."""
    whose = min(number, 2)
    hu = np.random.default_rng(number).integers(-100, 300, (SLICES, SIZE, SIZE)).astype(np.float32)
    source = folder / f"source {number}"
    source.mkdir()
    paths = []
    for index, plane in enumerate(hu):
        image = ct_slice(
            (plane + 1024).astype(np.int16),
            (0.0, 0.0, 2.0 * index),
            series_uid=f"1.2.4.{number}",
            StudyInstanceUID=f"1.2.3.{whose}",
            InstanceNumber=index + 1,
            PatientID=f"P{whose}",
            PatientName="SECRETNAME^JOHN",
        )
        paths.append(source / f"{index}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    job = translated_job(catalog, paths, hu, route="CECT_ART", folder=settings.work_dir)
    assert DeriveStep(settings, catalog).run_once()
    uid = catalog.get_job(job).derived_series_instance_uid
    assert uid is not None
    files = {one.sop_instance_uid: one.path for one in catalog.derived_instances(job)}
    return Series(f"1.2.3.{whose}", uid, files)


def data_set(path: Path) -> bytes:
    """What stands behind the file meta information."""
    return path.read_bytes()[split_dataset(path)[1] :]


def arrived(folder: Path) -> dict[str, bytes]:
    """Data sets by SOP Instance UID; the folder is empty then."""
    found = {}
    for path in folder.iterdir():
        found[str(split_dataset(path)[0].MediaStorageSOPInstanceUID)] = data_set(path)
        path.unlink()
    return found


def delivered(*series: Series) -> dict[str, bytes]:
    """The data sets of derived series, as they are on disk."""
    return {uid: data_set(path) for one in series for uid, path in one.files.items()}


def dcmtk(program: str, stand: Stand, *keys: str, root: str = "-S", calling: str = "VIEWER", **options: str) -> str:
    command = [program, "-v", root, "-aet", calling, "-aec", "S2LDM"]
    command += [part for name, value in options.items() for part in (f"-{name}", value)]
    command += ["+B"] if program == GETSCU else []
    command += [part for key in keys for part in ("-k", key)]
    done = subprocess.run(
        [*command, *stand.address], capture_output=True, text=True, timeout=60, check=False, env=peers.environment()
    )
    return done.stdout + done.stderr


@pytest.mark.dcmtk
def test_getscu_gets_studies_series_and_images_byte_by_byte(stand: Stand, tmp_path: Path) -> None:
    first, second, third = stand.series
    got = dcmtk(GETSCU, stand, "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={first.study}", od=str(tmp_path))
    assert "Success" in got, got
    assert arrived(tmp_path) == delivered(first)

    both = f"StudyInstanceUID={first.study}\\{third.study}"
    dcmtk(GETSCU, stand, "QueryRetrieveLevel=STUDY", both, od=str(tmp_path))
    assert arrived(tmp_path) == delivered(*stand.series)

    some = sorted(second.files)[:2]
    keys = ["QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={second.study}", f"SeriesInstanceUID={second.uid}"]
    dcmtk(GETSCU, stand, *keys, "SOPInstanceUID=" + "\\".join([*some, *third.files]), od=str(tmp_path))
    assert set(arrived(tmp_path)) == set(some), "of another series nothing, though its images are named"

    series = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={third.study}", f"SeriesInstanceUID={third.uid}"]
    dcmtk(GETSCU, stand, "PatientID=P2", *series, root="-P", od=str(tmp_path))
    assert arrived(tmp_path) == delivered(third)
    nobody = dcmtk(GETSCU, stand, "PatientID=P1", *series, root="-P", od=str(tmp_path))
    assert "Success" in nobody
    assert arrived(tmp_path) == {}


@pytest.mark.dcmtk
def test_movescu_has_series_sent_to_a_destination_and_nowhere_else(stand: Stand) -> None:
    first, second, _ = stand.series
    received = stand.scp.folder / "received"
    said = dcmtk(MOVESCU, stand, "QueryRetrieveLevel=PATIENT", "PatientID=P1", root="-P", aem=stand.scp.ae_title)
    assert "Success" in said, said
    assert arrived(received) == delivered(first)

    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={second.study}")
    for title in ("STRANGER", "VIEWER", "S2LDM"):
        assert "MoveDestinationUnknown" in dcmtk(MOVESCU, stand, *keys, aem=title)
    assert "Refused: OutOfResourcesSubOperations" in dcmtk(MOVESCU, stand, *keys, aem="PAUSED")
    assert arrived(received) == {}
    code, answer, identifier = move(stand, "GONE", keys_of(second))
    assert (code, answer.NumberOfFailedSuboperations) == (0xA702, SLICES)
    assert set(identifier.FailedSOPInstanceUIDList) == set(second.files)

    # Once it is there it gets them, and is told who asked (PS3.7 9.1.1.1.6, 9.1.1.1.7).
    asked: list[tuple[str, int, str]] = []

    def keep(event: evt.Event) -> int:
        request = event.request
        asked.append(
            (
                request.MoveOriginatorApplicationEntityTitle,
                request.MoveOriginatorMessageID,
                request.AffectedSOPInstanceUID,
            )
        )
        return 0x0000

    entity = AE("GONE")
    entity.add_supported_context(SecondaryCaptureImageStorage)
    port = stand.settings.destinations["gone"].port
    server = entity.start_server((peers.HOST, port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    try:
        assert move(stand, "GONE", keys_of(second))[0] == 0x0000
    finally:
        server.shutdown()
    assert asked == [("VIEWER", 1, uid) for uid in second.files]


@pytest.mark.dcmtk
def test_only_peers_that_may_query_may_retrieve_and_keys_must_be_there(stand: Stand, tmp_path: Path) -> None:
    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={stand.series[0].study}")
    assert "0x124" in dcmtk(MOVESCU, stand, *keys, calling="NONE", aem=stand.scp.ae_title)
    assert "0x124" in dcmtk(GETSCU, stand, *keys, calling="NONE", od=str(tmp_path))
    wrong = [("QueryRetrieveLevel=SERIES", "SeriesInstanceUID=1.2"), ("QueryRetrieveLevel=STUDY", "StudyInstanceUID=*")]
    for one in wrong:
        assert "DataSetDoesNotMatchSOPClass" in dcmtk(GETSCU, stand, *one, od=str(tmp_path))
    assert arrived(tmp_path) == {}


@pytest.mark.dcmtk
def test_the_audit_trail_tells_of_queries_and_of_what_went_where_with_patient_ids_and_no_names(stand: Stand) -> None:
    first = stand.series[0]
    before = len(stand.audit)
    keys = ("QueryRetrieveLevel=PATIENT", "PatientID=P1", "NumberOfPatientRelatedInstances", "PatientName=SECRETNAME*")
    assert f"(0020,1204) IS [{SLICES} ]" in dcmtk(FINDSCU, stand, *keys, root="-P")
    dcmtk(MOVESCU, stand, "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={first.study}", aem=stand.scp.ae_title)
    arrived(stand.scp.folder / "received")
    told = [
        ElementTree.fromstring(line[line.index("<?xml") :])  # noqa: S314 (the node's own)
        for line in stand.audit[before:].splitlines()
    ]
    events = [(one.find("EventIdentification/EventID").get("csd-code"), one) for one in told]
    assert [code for code, _ in events] == ["110112", "110102", "110104"]
    query, *transfers = [one for _, one in events]
    asked = b64decode(query.findtext("ParticipantObjectIdentification/ParticipantObjectQuery") or "")
    assert b"P1" in asked
    assert "SECRETNAME" not in stand.audit
    assert b"SECRETNAME" not in asked
    for one in transfers:
        people = {part.get("UserID"): part.get("UserIsRequestor") for part in one.iter("ActiveParticipant")}
        assert people == {"S2LDM": "false", stand.scp.ae_title: "false", "VIEWER": "true"}
        objects = {part.get("ParticipantObjectID") for part in one.iter("ParticipantObjectIdentification")}
        assert objects == {first.study, "P1"}
        assert one.find(".//SOPClass").attrib == {
            "UID": SecondaryCaptureImageStorage,
            "NumberOfInstances": str(SLICES),
        }


@pytest.mark.orthanc
def test_orthanc_finds_and_retrieves_a_series(stand: Stand) -> None:
    first = stand.series[0]

    def post(path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"http://{peers.HOST}:{stand.orthanc.http_port}{path}", data=json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 (an address of the test's own)
            return json.loads(response.read())

    asked = post("/modalities/node/query", {"Level": "Series", "Query": {"StudyInstanceUID": first.study}})
    assert stand.orthanc.get_json(f"{asked['Path']}/answers") == ["0"]
    post(f"{asked['Path']}/answers/0/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    held = [stand.orthanc.get(f"/instances/{one}/file") for one in stand.orthanc.get_json("/instances")]
    pixels = {data_set(path)[-2 * SIZE * SIZE :] for path in first.files.values()}
    assert {one[-2 * SIZE * SIZE :] for one in held} == pixels
    assert len(held) == SLICES


def keys_of(series: Series) -> Dataset:
    """The unique keys of one series."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "SERIES", series.study
    identifier.SeriesInstanceUID = series.uid
    return identifier


@contextmanager
def association(
    stand: Stand,
    *contexts: str,
    calling: str = "VIEWER",
    syntax: str = ExplicitVRLittleEndian,
    tls: ssl.SSLContext | None = None,
    on_store: Callable[[evt.Event], int] | None = None,
) -> Iterator[Association]:
    entity = AE(calling)
    for one in contexts:
        entity.add_requested_context(one)
    entity.add_requested_context(SecondaryCaptureImageStorage, syntax)
    opened = entity.associate(
        peers.HOST,
        stand.settings.node.tls.port if tls is not None else stand.settings.node.port,
        ae_title="S2LDM",
        ext_neg=[build_role(SecondaryCaptureImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, on_store)] if on_store is not None else [],
        tls_args=None if tls is None else (tls, peers.HOST),
    )
    assert opened.is_established
    # pynetdicom's own thread would take answers that this one waits for.
    take = opened.dimse.get_msg
    opened.dimse.get_msg = lambda block=False: take(block=True) if block else (None, None)
    try:
        yield opened
    finally:
        opened.release()


def last(answers: Iterator[tuple[Dataset, Dataset | None]]) -> tuple[int, Dataset, Dataset]:
    """Status, command set and identifier of the last response."""
    answer, identifier = list(answers)[-1]
    return answer.Status, answer, identifier or Dataset()


def move(stand: Stand, to: str, identifier: Dataset) -> tuple[int, Dataset, Dataset]:
    with association(stand, MOVE) as peer:
        return last(peer.send_c_move(identifier, to, MOVE))


def test_a_get_over_tls_in_another_transfer_syntax_that_is_cancelled_ends_after_the_image_at_hand(stand: Stand) -> None:
    pem = stand.pems["ca"]
    tls = ssl.create_default_context(cafile=str(pem.certificate))
    got: list[Dataset] = []

    def keep(event: evt.Event) -> int:
        got.append(event.dataset)
        return 0x0000

    first = stand.series[0]
    with association(stand, GET, syntax=ImplicitVRLittleEndian, tls=tls, on_store=keep) as peer:
        code, answer, _ = last(peer.send_c_get(keys_of(first), GET))
        assert (code, answer.NumberOfCompletedSuboperations, answer.get("NumberOfRemainingSuboperations")) == (
            0x0000,
            SLICES,
            None,
        )
    assert {one.SOPInstanceUID: one.PixelData for one in got} == {
        uid: content[-2 * SIZE * SIZE :] for uid, content in delivered(first).items()
    }

    def cancel(event: evt.Event) -> int:
        event.assoc.send_c_cancel(1, None, GET)
        return 0xB000

    with association(stand, GET, tls=tls, on_store=cancel) as peer:
        code, answer, _ = last(peer.send_c_get(keys_of(first), GET))
        counts = (answer.NumberOfRemainingSuboperations, answer.NumberOfWarningSuboperations)
        assert (code, counts, answer.NumberOfCompletedSuboperations) == (0xFE00, (SLICES - 1, 1), 0)
        assert last(peer.send_c_get(keys_of(first), GET))[0] == 0xFE00, "the association goes on"


@pytest.mark.dcmtk
def test_dcmtk_asks_over_tls_and_what_is_asked_for_over_tls_is_moved(stand: Stand) -> None:
    """Debian's movescu and getscu are built without TLS, so pynetdicom moves here, and gets above."""
    first, ca = stand.series[0], str(stand.pems["ca"].certificate)
    command = [FINDSCU, "-v", "-S", "+tla", "+cf", ca, "-aet", "VIEWER", "-aec", "S2LDM", peers.HOST]
    command += [str(stand.settings.node.tls.port), "-k", "QueryRetrieveLevel=SERIES"]
    command += ["-k", f"StudyInstanceUID={first.study}", "-k", "SeriesInstanceUID"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=peers.environment())
    assert first.uid in found.stdout + found.stderr

    with association(stand, MOVE, tls=ssl.create_default_context(cafile=ca)) as peer:
        code, answer, _ = last(peer.send_c_move(keys_of(first), stand.scp.ae_title, MOVE))
    assert (code, answer.NumberOfCompletedSuboperations) == (0x0000, SLICES)
    assert arrived(stand.scp.folder / "received") == delivered(first)


def test_what_the_peer_refuses_and_what_retention_took_is_counted_as_failed(stand: Stand) -> None:
    third = stand.series[2]
    removed, refused, *rest = sorted(third.files)
    kept = third.files[removed].read_bytes()
    third.files[removed].unlink()
    try:
        with association(
            stand, GET, on_store=lambda event: 0xA700 if event.request.AffectedSOPInstanceUID == refused else 0
        ) as peer:
            code, answer, identifier = last(peer.send_c_get(keys_of(third), GET))
        assert (code, answer.NumberOfCompletedSuboperations, answer.NumberOfFailedSuboperations) == (0xB000, 4, 2)
        assert set(identifier.FailedSOPInstanceUIDList) == {removed, refused}
        code, answer, identifier = move(stand, stand.scp.ae_title, keys_of(third))
        assert (code, answer.NumberOfCompletedSuboperations) == (0xB000, 5)
        assert identifier.FailedSOPInstanceUIDList == removed
        assert set(arrived(stand.scp.folder / "received")) == {refused, *rest}
    finally:
        third.files[removed].write_bytes(kept)


def test_a_retrieval_that_stands_still_takes_one_place_of_its_peer_and_holds_up_no_sender(
    stand: Stand, tmp_path: Path
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def wait(_: evt.Event) -> int:
        reached.set()
        go_on.wait(30)
        return 0x0000

    outcome: list[int] = []

    def get() -> None:
        with association(stand, GET, calling="ONE", on_store=wait) as peer:
            outcome.append(last(peer.send_c_get(keys_of(stand.series[0]), GET))[0])

    thread = threading.Thread(target=get)
    thread.start()
    try:
        assert reached.wait(10)
        with association(stand, GET, calling="ONE", on_store=lambda _: 0) as peer:
            assert last(peer.send_c_get(keys_of(stand.series[0]), GET))[0] == 0xA702
        image = tmp_path / "image.dcm"
        ct_slice(np.zeros((8, 8), dtype=np.int16), (0.0, 0.0, 0.0)).save_as(image, enforce_file_format=True)
        began = time.monotonic()
        assert peers.send_bytes(node(stand), [image], called_ae="CECT_ART", calling_ae="VIEWER") == [0]
        assert time.monotonic() - began < 5.0
    finally:
        go_on.set()
        thread.join(30)
    assert outcome == [0x0000]
    with association(stand, GET, calling="ONE", on_store=lambda _: 0) as peer:
        assert last(peer.send_c_get(keys_of(stand.series[0]), GET))[0] == 0x0000, "its place is free again"


def test_a_peers_retrievals_are_counted_in_all_listeners_and_a_killed_one_keeps_none(stand: Stand) -> None:
    own = stand.settings.node.model_copy(
        update={"port": peers.free_port(), "tls": ServerTls(), "listener_processes": 2}
    )
    two = stand._replace(settings=stand.settings.model_copy(update={"node": own}))
    reached, go_on = threading.Event(), threading.Event()

    def wait(_: evt.Event) -> int:
        reached.set()
        go_on.wait(60)
        return 0x0000

    def get() -> None:
        with association(two, GET, calling="ONE", on_store=wait) as peer, suppress(RuntimeError):
            list(peer.send_c_get(keys_of(stand.series[0]), GET))

    listeners = ListenerProcesses(two.settings, carry=carry)
    listeners.start()
    thread = threading.Thread(target=get)
    try:
        first, second = listeners.pids
        peers.halt(second)
        thread.start()
        assert reached.wait(30)
        peers.halt(first)
        os.kill(second, signal.SIGCONT)
        with association(two, GET, calling="ONE", on_store=lambda _: 0) as peer:
            assert last(peer.send_c_get(keys_of(stand.series[0]), GET))[0] == 0xA702
            os.kill(first, signal.SIGKILL)
            peers.wait_until(lambda: first not in listeners.pids, seconds=30, what="the first to be gone")
            assert last(peer.send_c_get(keys_of(stand.series[0]), GET))[0] == 0x0000
    finally:
        go_on.set()
        thread.join(30)
        listeners.stop(grace_seconds=0.5)


def node(stand: Stand) -> peers.Peer:
    port = stand.settings.node.port
    return peers.Peer(name="node", ae_title="S2LDM", port=port, folder=stand.scp.folder, process=stand.scp.process)
