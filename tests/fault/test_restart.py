"""The node killed at some point of a series' way, and started again: nothing is lost, and nothing is done twice."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import SecondaryCaptureImageStorage

from dicom_node.catalog import Catalog, JobState, Verdict
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.deliver.destinations.dicom.scu import send_files
from dicom_node.deliver.destinations.dicom.status import verdict
from dicom_node.demo.destination import StorageDestination
from dicom_node.translation import TranslationRecord
from s2ldm_core.translation import Translation
from tests import peers
from tests.catalog_jobs import answer
from tests.ct_series import body_hu
from tests.tiny_model import queue_job, write_tiny_package

Writer = Callable[..., list[Path]]
Start = Callable[..., peers.Peer]
DEADLINE_SECONDS = 90.0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[StorageDestination]:
    with StorageDestination(tmp_path / "pacs") as destination:
        yield destination


@pytest.fixture
def series(write_ct_series: Writer) -> list[Path]:
    return write_ct_series(body_hu(4, 32), spacing_mm=(3.0, 2.0, 2.0))


@pytest.fixture
def start(tmp_path: Path, package: Path) -> Iterator[Start]:
    """``start(port)``: the node on the same state every time, with a destination on that port."""
    with ExitStack() as running:

        def run(port: int) -> peers.Peer:
            settings: dict[str, dict[str, Any]] = {
                "series": {"quiet_seconds": 1, "min_slices": 3},
                "routes": {
                    "CECT_ART": {
                        "phase": "arterial",
                        "model": str(package),
                        "destinations": ["pacs"],
                        "anatomy": "any",
                    }
                },
                "destinations": {
                    "pacs": {"ae_title": "DEMO_PACS", "host": peers.HOST, "port": port, "retry_seconds": 0.5}
                },
            }
            return running.enter_context(peers.node(tmp_path / "node", settings))

        yield run


def send(node: peers.Peer, paths: list[Path]) -> None:
    answers = send_files(
        paths, DicomSettings(ae_title="CECT_ART", host=peers.HOST, port=node.port), calling_ae="SENDER"
    )
    assert [answer.verdict for answer in answers] == [Verdict.ACCEPTED] * len(paths)


def await_state(node: peers.Peer, state: str) -> None:
    peers.wait_until(
        lambda: [job["state"] for job in node.get_json("/api/jobs")["items"]] == [state],
        seconds=DEADLINE_SECONDS,
        what=f"the one job to be {state}",
    )


def received_uids(pacs: StorageDestination) -> list[str]:
    return [dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in pacs.received()]


def catalog_of(tmp_path: Path) -> Catalog:
    """As a node saw it that was killed: what it claimed has run out."""
    return Catalog(tmp_path / "node" / "var" / "catalog.sqlite", lease_seconds=0.0)


def test_killed_right_after_receiving(start: Start, pacs: StorageDestination, series: list[Path]) -> None:
    node = start(pacs.port)
    send(node, series)
    node.kill()

    await_state(start(pacs.port), "done")

    assert len(received_uids(pacs)) == 4


def test_killed_while_translating(
    start: Start, pacs: StorageDestination, series: list[Path], package: Path, tmp_path: Path
) -> None:
    with catalog_of(tmp_path) as catalog:
        job_id = queue_job(catalog, series, route="CECT_ART", phase="arterial", model=str(package))
        catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "the last run")
    half = tmp_path / "node" / "var" / "work" / str(job_id)
    half.mkdir(parents=True)
    (half / "hu.npy").write_bytes(b"half of an array")

    await_state(start(pacs.port), "done")

    assert len(received_uids(pacs)) == 4


def test_killed_while_deriving(
    start: Start, pacs: StorageDestination, series: list[Path], package: Path, tmp_path: Path
) -> None:
    work, derived = (tmp_path / "node" / "var" / name / "1.killed" for name in ("work", "derived"))
    record = TranslationRecord(
        translation=Translation(
            phase="arterial",
            model_name="tiny",
            model_version="0.0.1",
            weights_sha256="0" * 64,
            training_statement="Not trained.",
            seed=0,
            steps=1,
        ),
        sop_instance_uids=tuple(dcmread(path).SOPInstanceUID for path in series),
    )
    path = record.save(work, hu=np.full((4, 32, 32), 50, dtype=np.int16), padding=None)
    with catalog_of(tmp_path) as catalog:
        job_id = queue_job(catalog, series, route="CECT_ART", phase="arterial", model=str(package))
        catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "the last run")
        catalog.finish_translation(catalog.get_job(job_id), result_path=path, details={})
        catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "the last run")
    derived.mkdir(parents=True)
    (derived / "0001.dcm").write_bytes(b"half of a file")

    await_state(start(pacs.port), "done")

    assert len(received_uids(pacs)) == len(set(received_uids(pacs))) == 4


def test_killed_while_some_instances_are_accepted(
    start: Start, pacs: StorageDestination, series: list[Path], tmp_path: Path
) -> None:
    node = start(1)
    send(node, series)
    await_state(node, "delivering")
    node.kill()
    with catalog_of(tmp_path) as catalog:  # as if the first two had been answered before the kill
        (delivery,) = catalog.list_deliveries()
        for one in catalog.delivery_instances(delivery.id)[:2]:
            answer(catalog, delivery, one.sop_instance_uid, verdict(0x0000), status=0x0000)

    await_state(start(pacs.port), "done")

    assert len(received_uids(pacs)) == 2


def test_sigterm_cuts_a_long_delivery_between_instances(start: Start, write_ct_series: Writer) -> None:
    series = write_ct_series(body_hu(12, 32), spacing_mm=(3.0, 2.0, 2.0))
    received: list[str] = []
    running: list[peers.Peer] = []

    def store(event: evt.Event) -> int:
        received.append(event.request.AffectedSOPInstanceUID)
        (process,) = [peer.process for peer in running]
        if len(received) == 2:
            process.send_signal(signal.SIGTERM)
        if 2 <= len(received) < 12:  # a slow peer: half a second for every instance, unless the node ends before
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        return 0x0000

    entity = AE(ae_title="DEMO_PACS")
    entity.add_supported_context(SecondaryCaptureImageStorage)
    server = entity.start_server((peers.HOST, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        port = server.server_address[1]
        running.append(start(port))
        send(running[0], series)
        assert running[0].process.wait(DEADLINE_SECONDS) == 0
        cut = len(received)
        running[:] = [start(port)]
        await_state(running[0], "done")
    finally:
        server.shutdown()

    assert 2 <= cut < 12
    assert len(received) == len(set(received)) == 12


def test_sigterm_ends_the_node_in_order(start: Start, pacs: StorageDestination) -> None:
    node = start(pacs.port)

    node.process.send_signal(signal.SIGTERM)

    assert node.process.wait(30) == 0
    assert '"event": "stopped"' in node.log.read_text()
