"""Delivery to real programs, and to peers that take only some encodings."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless, SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.presentation import AllStoragePresentationContexts

from dicom_node.catalog import Catalog, JobState, Verdict
from dicom_node.config import parse_settings
from dicom_node.deliver.destinations.dicom import DicomDestination, DicomSettings
from dicom_node.deliver.destinations.dicom.scu import echo, send_files
from dicom_node.deliver.step import DeliverStep
from dicom_node.derive.step import DeriveStep
from dicom_node.errors import ConfigError
from dicom_node.translation import Uncertainty
from s2ldm_core.calibration import Calibration
from tests.peers import Peer
from tests.peers import destination as destination_of
from tests.tiny_model import translated_job

SLICES = 5


@pytest.fixture
def hu() -> np.ndarray:
    return np.random.default_rng(3).integers(-1000, 1500, (SLICES, 16, 12)).astype(np.float32)


@pytest.fixture
def deliver(tmp_path: Path, write_ct_series: Any, hu: np.ndarray) -> Iterator[Callable[[Peer], tuple[Catalog, int]]]:
    """Derive a series and deliver it to a peer; gives the catalog and the job's ID."""
    with ExitStack() as cleanup:

        def run(peer: Peer, *, uncertainty: Uncertainty | None = None, **keys: Any) -> tuple[Catalog, int]:
            settings = parse_settings(
                {
                    "node": {"data_dir": str(tmp_path / "data")},
                    "routes": {"CECT_ART": {"phase": "arterial", "destinations": ["pacs"]}},
                    "destinations": {"pacs": {**destination_of(peer), **keys}},
                }
            )
            catalog = cleanup.enter_context(Catalog(settings.catalog_location))
            paths = write_ct_series(hu * 0, PatientID="P1", StudyDate="20240101")
            job_id = translated_job(
                catalog, paths, hu, route="CECT_ART", folder=settings.work_dir, uncertainty=uncertainty
            )
            assert DeriveStep(settings, catalog).run_once()
            assert DeliverStep(settings, catalog).run_once()
            return catalog, job_id

        yield run


@pytest.mark.orthanc
def test_orthanc_gets_every_instance_and_serves_it_unchanged(
    orthanc: Peer, deliver: Callable[[Peer], tuple[Catalog, int]], hu: np.ndarray, tmp_path: Path
) -> None:
    catalog, job_id = deliver(orthanc)
    job = catalog.get_job(job_id)
    assert job.state is JobState.DONE
    (series,) = [orthanc.get_json(f"/series/{one}") for one in orthanc.get_json("/series")]
    assert series["MainDicomTags"]["SeriesInstanceUID"] == job.derived_series_instance_uid
    assert len(series["Instances"]) == SLICES
    found = []
    for number, name in enumerate(series["Instances"]):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(orthanc.get(f"/instances/{name}/file"))
        found.append(dcmread(path))
    found.sort(key=lambda one: one.ImagePositionPatient[2])
    assert np.array_equal([one.pixel_array + float(one.RescaleIntercept) for one in found], hu)
    written = {one.sop_instance_uid: dcmread(one.path) for one in catalog.derived_instances(job_id)}
    assert all(one == written[one.SOPInstanceUID] for one in found)


@pytest.mark.orthanc
def test_the_uncertainty_is_sent_after_the_synthetic_series_and_both_are_counted(
    orthanc: Peer, deliver: Callable[..., tuple[Catalog, int]], hu: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, int] = {}
    truly = DicomDestination.count_images

    def counted(self: DicomDestination, **series: str) -> int:
        asked[series["series_instance_uid"]] = truly(self, **series)
        return asked[series["series_instance_uid"]]

    monkeypatch.setattr(DicomDestination, "count_images", counted)
    told = Calibration(channels=(4,), half_widths=(0.7, 1.3, 2.0), coverage={}, cases=3, weights_sha256="cd" * 32)
    spread = np.abs(hu) / 20
    catalog, job_id = deliver(orthanc, uncertainty=Uncertainty(hu=spread, calibration=told), verify="find")

    job = catalog.get_job(job_id)
    assert (job.state, job.reason) == (JobState.DONE, None)
    assert asked == {job.derived_series_instance_uid: SLICES, job.uncertainty_series_instance_uid: SLICES}
    came = [
        one["ID"] for one in orthanc.get_json("/changes?limit=100")["Changes"] if one["ChangeType"] == "NewInstance"
    ]
    held = [dcmread(BytesIO(orthanc.get(f"/instances/{name}/file"))) for name in came]
    assert [one.SeriesInstanceUID for one in held] == [
        *[job.derived_series_instance_uid] * SLICES,
        *[job.uncertainty_series_instance_uid] * SLICES,
    ]
    for images, expected in ((held[:SLICES], hu), (held[SLICES:], np.rint(spread))):
        images.sort(key=lambda one: one.ImagePositionPatient[2])
        assert np.array_equal([one.pixel_array + float(one.RescaleIntercept) for one in images], expected)
    assert len({(one.StudyInstanceUID, one.FrameOfReferenceUID) for one in held}) == 1


@pytest.mark.dcmtk
@pytest.mark.orthanc
def test_an_archive_that_lacks_images_of_the_uncertainty_alone_gets_all_again(
    orthanc: Peer, deliver: Callable[..., tuple[Catalog, int]], hu: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly = DicomDestination.count_images
    asked: list[str] = []

    def lacking(self: DicomDestination, **series: str) -> int:
        asked.append(series["series_instance_uid"])
        return truly(self, **series) + (1 if len(asked) == 1 else -1)  # as many as were sent, all in all

    monkeypatch.setattr(DicomDestination, "count_images", lacking)
    told = Calibration(channels=(4,), half_widths=(0.7, 1.3, 2.0), coverage={}, cases=3, weights_sha256="cd" * 32)
    catalog, job_id = deliver(
        orthanc, uncertainty=Uncertainty(hu=np.abs(hu), calibration=told), verify="find", retry_seconds=0.01
    )
    (delivery,) = catalog.list_deliveries(job_id=job_id)
    assert (delivery.state, delivery.accepted_count) == ("pending", 0)
    assert delivery.reason is not None
    assert delivery.reason.code == "not_all_found"


@pytest.mark.dcmtk
def test_storescp_gets_every_instance(storescp: Peer, deliver: Callable[[Peer], tuple[Catalog, int]]) -> None:
    catalog, job_id = deliver(storescp)
    (delivery,) = catalog.list_deliveries(job_id=job_id)
    assert delivery.accepted_count == SLICES
    assert {one.status for one in catalog.delivery_instances(delivery.id)} == {0x0000}


@pytest.mark.dcmtk
@pytest.mark.orthanc
def test_images_that_the_archive_says_it_lacks_are_all_sent_again(
    orthanc: Peer, deliver: Callable[..., tuple[Catalog, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[int] = []
    truly = DicomDestination.count_images

    def lacking(self: DicomDestination, **series: str) -> int:
        asked.append(truly(self, **series))
        return asked[-1] - (len(asked) == 1)

    monkeypatch.setattr(DicomDestination, "count_images", lacking)
    catalog, job_id = deliver(orthanc, verify="find", retry_seconds=0.01)
    (delivery,) = catalog.list_deliveries(job_id=job_id)
    assert (delivery.state, delivery.accepted_count) == ("pending", 0)
    assert delivery.reason is not None
    assert delivery.reason.code == "not_all_found"
    assert f"{SLICES} images" in delivery.reason.sentence
    assert f"has {SLICES - 1}" in delivery.reason.sentence
    time.sleep(0.1)
    keys = {**destination_of(orthanc), "verify": "find"}
    settings = parse_settings(
        {
            "node": {"data_dir": str(tmp_path / "data")},
            "routes": {"CECT_ART": {"phase": "arterial", "destinations": ["pacs"]}},
            "destinations": {"pacs": keys},
        }
    )
    assert DeliverStep(settings, catalog).run_once()
    (delivery,) = catalog.list_deliveries(job_id=job_id)
    assert (delivery.state, delivery.accepted_count, delivery.reason) == ("done", SLICES, None)
    assert asked == [SLICES, SLICES]


@pytest.mark.dcmtk
def test_a_peer_that_cannot_be_asked_has_the_images_and_the_delivery_says_that_nobody_looked(
    storescp: Peer, deliver: Callable[..., tuple[Catalog, int]]
) -> None:
    catalog, job_id = deliver(storescp, verify="find")
    assert catalog.get_job(job_id).state is JobState.DONE
    (delivery,) = catalog.list_deliveries(job_id=job_id)
    assert delivery.reason is not None
    assert delivery.reason.code == "not_verified"


def test_what_cannot_be_asked_cannot_be_told_to_verify(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="verify must be none"):
        parse_settings({"destinations": {"out": {"type": "folder", "path": str(tmp_path), "verify": "find"}}})


def test_echo_is_answered_by_storescp(storescp: Peer) -> None:
    echo(DicomSettings(**destination_of(storescp)), calling_ae="S2LDM")


class Keeper:
    """A storage SCP with the contexts that the test allows; keeps data sets as they came."""

    def __init__(self, *, syntaxes: list[str]) -> None:
        self.received: list[Dataset] = []
        entity = AE(ae_title="KEEPER")
        for context in AllStoragePresentationContexts[:120]:
            entity.add_supported_context(context.abstract_syntax, syntaxes)
        entity.add_supported_context(SecondaryCaptureImageStorage, syntaxes)
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._keep)])
        self.destination = DicomSettings(ae_title="KEEPER", host="127.0.0.1", port=self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()

    def _keep(self, event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self.received.append(dataset)
        return 0x0000


@pytest.fixture
def keeper() -> Iterator[Callable[..., Keeper]]:
    with ExitStack() as cleanup:

        def start(**options: list[str]) -> Keeper:
            one = Keeper(**options)
            cleanup.callback(one.close)
            return one

        yield start


def test_peer_with_implicit_vr_only_gets_the_same_values(
    keeper: Callable[..., Keeper], write_ct_series: Any, hu: np.ndarray
) -> None:
    peer = keeper(syntaxes=[ImplicitVRLittleEndian])
    paths = write_ct_series(hu)
    answers = send_files(paths, peer.destination, calling_ae="ME")
    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
    for path, got in zip(paths, peer.received, strict=True):
        assert got.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
        sent = dcmread(path)
        assert got.SOPInstanceUID == sent.SOPInstanceUID
        assert got.PatientName == sent.PatientName
        assert np.array_equal(got.pixel_array, sent.pixel_array)


def with_syntax(folder: Path, syntax: str) -> Path:
    """The first file of a folder in a transfer syntax."""
    return next(
        path
        for path in sorted(folder.iterdir())
        if dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    )


@pytest.mark.real_data
def test_compressed_object_travels_as_it_is(keeper: Callable[..., Keeper], real_data: Path) -> None:
    peer = keeper(syntaxes=[JPEG2000Lossless])
    path = with_syntax(real_data / "odd" / "transfer-syntaxes", JPEG2000Lossless)
    (answer,) = send_files([path], peer.destination, calling_ae="ME")
    assert answer.verdict is Verdict.ACCEPTED
    assert peer.received[0].PixelData == dcmread(path).PixelData


@pytest.mark.real_data
def test_compressed_object_is_refused_where_nobody_takes_its_syntax(
    keeper: Callable[..., Keeper], real_data: Path
) -> None:
    peer = keeper(syntaxes=[ImplicitVRLittleEndian])
    folder = real_data / "odd" / "transfer-syntaxes"
    paths = [with_syntax(folder, JPEG2000Lossless), with_syntax(folder, ImplicitVRLittleEndian)]
    answers = send_files(paths, peer.destination, calling_ae="ME")
    assert [answer.verdict for answer in answers] == [Verdict.PERMANENT, Verdict.ACCEPTED]
    assert "JPEG 2000" in answers[0].comment


def test_file_without_sop_instance_uid_does_not_stop_the_others(
    keeper: Callable[..., Keeper], write_ct_series: Any, hu: np.ndarray
) -> None:
    peer = keeper(syntaxes=[ImplicitVRLittleEndian])
    blank, sound = write_ct_series(hu[:2])
    dataset = dcmread(blank)
    dataset.SOPInstanceUID = ""
    dataset.save_as(blank)
    answers = send_files([blank, sound], peer.destination, calling_ae="ME")
    assert [answer.verdict for answer in answers] == [Verdict.PERMANENT, Verdict.ACCEPTED]


def test_nagle_is_off_on_the_outgoing_socket(
    keeper: Callable[..., Keeper], write_ct_series: Any, hu: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int, int]] = []
    original = socket.socket.setsockopt

    def spy(self: socket.socket, *arguments: int) -> None:
        seen.append(arguments)
        original(self, *arguments)

    monkeypatch.setattr(socket.socket, "setsockopt", spy)
    send_files(write_ct_series(hu), keeper(syntaxes=[ImplicitVRLittleEndian]).destination, calling_ae="ME")
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in seen
