"""Storage commitment with a real Orthanc: it is asked to keep a derived series, and asks the node about what it sent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom.uid import CTImageStorage

from dicom_node.catalog import Catalog, DeliveryState, JobState
from dicom_node.config import Peer, Settings, parse_settings
from dicom_node.deliver.destinations.dicom import DicomDestination
from dicom_node.deliver.step import DeliverStep
from dicom_node.derive.step import DeriveStep
from dicom_node.receive import Listener
from dicom_node.service.committing import commitment_step
from tests import peers
from tests.tiny_model import translated_job

SLICES = 4


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    orthanc = {"ae_title": "ORTHANC", "host": peers.HOST, "port": peers.free_port()}
    return parse_settings(
        {
            "node": {
                "data_dir": str(tmp_path / "data"),
                "host": peers.HOST,
                "port": peers.free_port(),
                "min_free_mib": 0,
            },
            "routes": {"CECT_ART": {"phase": "arterial", "destinations": ["pacs"]}},
            "destinations": {"pacs": {**orthanc, "verify": "commitment", "retry_seconds": 0.01}},
        }
    )


@pytest.fixture
def archive(settings: Settings, tmp_path: Path) -> Iterator[peers.Peer]:
    """An Orthanc that knows the node's own title and its route, and may be asked by the former."""
    node = {"Host": peers.HOST, "Port": settings.node.port}
    known = {"node": {"AET": "S2LDM", **node}, "route": {"AET": "CECT_ART", **node}}
    port = settings.destinations["pacs"].port
    with peers.orthanc(tmp_path / "orthanc", port=port, options={"DicomModalities": known}) as peer:
        yield peer


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    """The catalog, with a listener that records in it."""
    with Catalog(settings.catalog_location) as catalog:
        known = Peer(ae_title="ORTHANC", host=peers.HOST, port=settings.destinations["pacs"].port)
        node = settings.node.model_copy(update={"peers": (known,)})
        listener = Listener(settings.model_copy(update={"node": node}), catalog)
        listener.start()
        yield catalog
        listener.stop(grace_seconds=0.5)


def ask(orthanc: peers.Peer, path: str, method: str, body: Any = None) -> Any:
    """Ask Orthanc's HTTP interface; what it answers."""
    response = httpx.request(method, f"http://{peers.HOST}:{orthanc.http_port}{path}", json=body, timeout=30)
    return response.raise_for_status().json()


def until_done(step: DeliverStep, catalog: Catalog, job_id: int) -> Any:
    """Work until the delivery is over."""

    def over() -> Any:
        step.run_once()
        (one,) = catalog.list_deliveries(job_id=job_id)
        return one if one.state in (DeliveryState.DONE, DeliveryState.FAILED) else None

    return peers.wait_until(over, seconds=30.0, what="the delivery to be over")


@pytest.mark.orthanc
def test_orthanc_keeps_what_it_is_asked_to_and_what_it_lost_is_sent_again(
    settings: Settings, archive: peers.Peer, catalog: Catalog, write_ct_series: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hu = np.zeros((SLICES, 16, 16), dtype=np.float32)
    job_id = translated_job(catalog, write_ct_series(hu), hu, route="CECT_ART", folder=settings.work_dir)
    assert DeriveStep(settings, catalog).run_once()
    sent: list[int] = []
    send = DicomDestination.send

    def lose_one(self: DicomDestination, files: Any, **options: Any) -> Any:
        answers = send(self, files, **options)
        sent.append(len(answers))
        if len(sent) == 1:
            ask(archive, f"/instances/{archive.get_json('/instances')[0]}", "DELETE")
        return answers

    monkeypatch.setattr(DicomDestination, "send", lose_one)
    done = until_done(DeliverStep(settings, catalog), catalog, job_id)
    assert (done.state, done.reason, done.accepted_count) == (DeliveryState.DONE, None, SLICES)
    assert catalog.get_job(job_id).state is JobState.DONE
    assert sent == [SLICES, 1]
    assert len(archive.get_json("/instances")) == SLICES
    assert catalog.uncommitted(done.id) == []


@pytest.mark.orthanc
def test_node_tells_orthanc_what_it_holds_of_what_it_was_sent(
    settings: Settings, archive: peers.Peer, catalog: Catalog, write_ct_series: Any
) -> None:
    paths = write_ct_series(np.zeros((SLICES, 16, 16)))
    peers.send(archive, paths, called_ae="ORTHANC")
    instances = {
        archive.get_json(f"/instances/{one}")["MainDicomTags"]["SOPInstanceUID"]: one
        for one in archive.get_json("/instances")
    }
    missing, *sent = instances
    ask(archive, "/modalities/route/store", "POST", [instances[uid] for uid in sent])
    known = {"ae_title": "ORTHANC", "host": peers.HOST, "port": archive.port}
    peer = Peer.model_validate(known)
    reachable = settings.model_copy(update={"node": settings.node.model_copy(update={"peers": (peer,)})})
    step = commitment_step(reachable, catalog)

    def asked(uids: list[str]) -> Any:
        references = [{"SOPClassUID": CTImageStorage, "SOPInstanceUID": uid} for uid in uids]
        begun = ask(archive, "/modalities/route/storage-commitment", "POST", {"DicomInstances": references})
        assert archive.get_json(begun["Path"])["Status"] == "Pending"
        peers.wait_until(step.run_once, seconds=10.0, what="the answer")
        return archive.get_json(begun["Path"])

    well = asked(sent)
    assert (well["Status"], well["RemoteAET"]) == ("Success", "CECT_ART")
    assert {one["SOPInstanceUID"] for one in well["Success"]} == set(sent)
    ill = asked([missing, *sent])
    assert ill["Status"] == "Failure"
    assert [(one["SOPInstanceUID"], one["FailureReason"]) for one in ill["Failures"]] == [(missing, 0x0112)]
