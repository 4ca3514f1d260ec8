"""A disk that is full to its last byte, or read-only, and has room again: nothing acknowledged is lost, nothing half is left."""

import sqlite3
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from dicom_node.catalog import Catalog, DeliveryState, JobState
from dicom_node.config import Settings, parse_settings
from dicom_node.deliver.retry import CircuitBreaker
from dicom_node.deliver.step import DeliverStep
from dicom_node.derive.step import DeriveStep
from dicom_node.errors import CatalogAwayError
from dicom_node.receive import Listener
from tests import peers
from tests.committing_peer import CommittingPeer
from tests.ct_series import body_hu, ct_slice
from tests.fault.disk import Disk, small_disk
from tests.tiny_model import translated_job, write_tiny_package

ROUTE = "CECT_ART"
SECONDS = 120.0
#: On a machine that is busy with others.
PATIENCE_SECONDS = 120.0
LEASE_SECONDS = 2.0

Writer = Callable[..., list[Path]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", mib=16) as disk:
        yield disk


@pytest.fixture
def settings(disk: Disk) -> Settings:
    return parse_settings(
        {
            "node": {
                "data_dir": str(disk.folder / "data"),
                "host": peers.HOST,
                "port": peers.free_port(),
                "min_free_mib": 0,
            },
            "routes": {ROUTE: {"phase": "arterial", "destinations": ["pacs"]}},
            "compute": {"retry_seconds": 0.001},
            "destinations": {
                "pacs": {"ae_title": "PACS", "host": peers.HOST, "port": peers.free_port(), "retry_seconds": 0.001}
            },
        }
    )


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    with Catalog(settings.catalog_location, lease_seconds=LEASE_SECONDS) as catalog:
        yield catalog


@pytest.fixture
def listener(settings: Settings, catalog: Catalog) -> Iterator[Listener]:
    listener = Listener(settings, catalog)
    listener.start()
    yield listener
    listener.stop(grace_seconds=0.5)


def images(count: int, *, size: int = 700) -> list[Dataset]:
    """Of about 1 MiB each."""
    series = f"1.2.3.{uuid4().int}"
    return [
        ct_slice(
            np.full((size, size), number, dtype=np.uint16),
            (0.0, 0.0, 2.0 * number),
            series_uid=series,
            SOPInstanceUID=f"{series}.{number}",
        )
        for number in range(1, count + 1)
    ]


def body(count: int) -> list[Dataset]:
    """Small ones that selection takes."""
    series = f"1.2.3.{uuid4().int}"
    return [
        ct_slice(np.rint(plane + 1024).astype(np.uint16), (0.0, 0.0, 2.0 * number), series_uid=series)
        for number, plane in enumerate(body_hu(count))
    ]


def store(port: int, objects: list[Dataset], *, between: Callable[[int], None] = lambda number: None) -> list[int]:
    """C-STORE one after the other over one association; the statuses. ``between`` is called before each, from 0 on."""
    entity = AE("SENDER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_SECONDS
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate(peers.HOST, port, ae_title=ROUTE)
    assert association.is_established
    statuses = []
    for number, one in enumerate(objects):
        between(number)
        statuses.append(association.send_c_store(one).Status)
    association.release()
    return statuses


def held(catalog: Catalog, settings: Settings) -> dict[str, Path]:
    """The files of the catalog's rows; there are no others, and each is whole."""
    found: dict[str, Path] = {}
    for series in catalog.list_series():
        for row in catalog.series_instances(series.key):
            assert row.path is not None
            found[row.sop_instance_uid] = row.path
    assert sorted(found.values()) == sorted(
        path for path in (settings.node.data_dir / "incoming").glob("*/*") if path.is_file()
    )
    for uid, path in found.items():
        assert dcmread(path).pixel_array.max() == int(uid.rpartition(".")[2])
    return found


def is_intact(settings: Settings) -> bool:
    """Whether SQLite finds nothing wrong with the catalog."""
    with closing(sqlite3.connect(settings.node.data_dir / "catalog.sqlite")) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def work_on(catalog: Catalog, step: DeriveStep | DeliverStep, job_id: int, *, until: JobState) -> None:
    """Have a step do what it has, with the claims that ran out meanwhile."""

    def is_there() -> bool:
        catalog.sweep_leases()
        step.run_once()
        return catalog.get_job(job_id).state is until

    peers.wait_until(is_there, seconds=SECONDS, what=f"the job to be {until}")


@pytest.mark.usefixtures("listener")
def test_a_disk_that_the_objects_fill_themselves_refuses_the_rest_and_takes_it_again(
    disk: Disk, settings: Settings, catalog: Catalog
) -> None:
    """The last byte goes in the middle of an object; the rest is refused as out of resources (0xA700), and nothing else."""
    sent = images(24)
    statuses = store(settings.node.port, sent)
    assert set(statuses) == {0x0000, 0xA700}
    assert set(held(catalog, settings)) == {
        one.SOPInstanceUID for one, status in zip(sent, statuses, strict=True) if status == 0x0000
    }
    assert is_intact(settings)


@pytest.mark.usefixtures("listener")
def test_a_disk_that_others_fill_refuses_until_there_is_room_and_takes_all_that_is_sent_again(
    disk: Disk, settings: Settings, catalog: Catalog
) -> None:
    sent = images(6)

    def fill(number: int) -> None:
        if number == 3:
            disk.fill()

    assert store(settings.node.port, sent, between=fill) == [0x0000] * 3 + [0xA700] * 3
    assert store(settings.node.port, sent[3:]) == [0xA700] * 3  # nor on another association, which has no row
    assert len(held(catalog, settings)) == 3
    disk.free()
    assert store(settings.node.port, sent) == [0x0000] * 6
    assert set(held(catalog, settings)) == {one.SOPInstanceUID for one in sent}
    (series,) = catalog.list_series()
    assert (series.instance_count, series.conflict_count) == (6, 0)
    assert is_intact(settings)


@pytest.mark.usefixtures("listener")
def test_a_disk_that_becomes_read_only_refuses_and_goes_on_when_it_is_writable_again(
    disk: Disk, settings: Settings, catalog: Catalog
) -> None:
    sent = images(4)
    with disk.read_only(settings.node.data_dir):
        assert store(settings.node.port, sent) == [0xA700] * 4
    assert held(catalog, settings) == {}
    assert store(settings.node.port, sent) == [0x0000] * 4
    assert set(held(catalog, settings)) == {one.SOPInstanceUID for one in sent}


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_series_that_cannot_be_derived_for_the_disk_waits_and_is_derived_later(
    how: str, disk: Disk, settings: Settings, catalog: Catalog, write_ct_series: Writer
) -> None:
    hu = np.zeros((4, 64, 64), dtype=np.float32)
    job_id = translated_job(catalog, write_ct_series(hu), hu, route=ROUTE, folder=settings.work_dir)
    step = DeriveStep(settings, catalog)
    if how == "full":
        disk.fill()
        with suppress(CatalogAwayError):  # where the catalog cannot be written either; the claim runs out
            step.run_once()
        disk.free()
    else:
        with disk.read_only(settings.node.data_dir), suppress(CatalogAwayError):
            step.run_once()
    job = catalog.get_job(job_id)
    assert job.state in (JobState.TRANSLATED, JobState.DERIVING)
    assert job.reason is None or job.reason.code == "derive_disk"
    assert not list(settings.derived_dir.glob("*/*"))

    work_on(catalog, step, job_id, until=JobState.DELIVERING)
    assert catalog.get_job(job_id).reason is None
    assert len(catalog.derived_instances(job_id)) == 4
    assert is_intact(settings)


class _FillingPeer(CommittingPeer):
    """Fills the node's disk when the second image comes."""

    disk: Disk

    def _store(self, event: evt.Event) -> int:
        if len(self.received) == 1:
            self.disk.fill()
        return super()._store(event)


def test_a_delivery_in_whose_middle_the_disk_is_full_is_done_later(
    disk: Disk, settings: Settings, catalog: Catalog, write_ct_series: Writer
) -> None:
    """What was accepted and could not be noted is sent again; the destination has it by the same UID."""
    hu = np.zeros((4, 64, 64), dtype=np.float32)
    job_id = translated_job(catalog, write_ct_series(hu), hu, route=ROUTE, folder=settings.work_dir)
    assert DeriveStep(settings, catalog).run_once()
    wanted = {row.sop_instance_uid for row in catalog.derived_instances(job_id)}
    step = DeliverStep(settings, catalog, breaker=CircuitBreaker(threshold=10**6))
    peer = _FillingPeer(settings.destinations["pacs"].port)
    peer.disk = disk
    with closing(peer):
        with suppress(CatalogAwayError):
            step.run_once()
        disk.free()
        work_on(catalog, step, job_id, until=JobState.DONE)
    (delivery,) = catalog.list_deliveries(job_id=job_id)
    assert delivery.state is DeliveryState.DONE
    assert set(peer.received) == wanted
    assert is_intact(settings)


@pytest.mark.dcmtk
def test_a_node_on_a_full_and_on_a_read_only_disk_says_so_and_delivers_once_it_can(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    with small_disk(tmp_path / "disk", mib=64) as disk, peers.storescp(tmp_path / "scp") as scp:
        data_dir = disk.folder / "data"
        settings: dict[str, Any] = {
            "node": {"data_dir": str(data_dir), "min_free_mib": 1},
            "series": {"quiet_seconds": 0.5, "min_slices": 2},
            "routes": {ROUTE: {"phase": "arterial", "model": str(package), "anatomy": "any", "destinations": ["pacs"]}},
            "compute": {"device": "cpu", "threads": 1, "retry_seconds": 0.3, "max_attempts": 1000},
            "destinations": {"pacs": {**peers.destination(scp), "retry_seconds": 0.3, "retry_max_seconds": 1.0}},
        }

        with peers.node(tmp_path / "node", settings) as node:

            def unready() -> str:
                """What ``/readyz`` says of the disk; empty if nothing."""
                try:
                    node.get("/readyz")
                except urllib.error.HTTPError as error:
                    said = error.read().decode()
                    return said if "data_dir" in said else ""
                return ""

            def is_ready() -> bool:
                try:
                    node.get("/readyz")
                except urllib.error.HTTPError:
                    return False
                return True

            def states() -> list[str]:
                return [one["state"] for one in node.get_json("/api/jobs")["items"]]

            def tried() -> str:
                """What the node has logged since the disk became read-only."""
                return node.log.read_text()[logged:]

            first, second = body(4), body(5)
            peers.wait_until(is_ready, seconds=240.0, what="the node to be ready")
            disk.fill()
            assert store(node.port, first) == [0xA700] * 4
            assert "MiB" in peers.wait_until(unready, seconds=SECONDS, what="the full disk to be told")
            disk.free()
            time.sleep(1.0)  # one look at the free space is good for half a second
            assert store(node.port, first) == [0x0000] * 4
            peers.wait_until(lambda: states() == ["done"], seconds=240.0, what="the series to be delivered")

            logged = len(node.log.read_text())
            with ExitStack() as read_only:

                def make_read_only(number: int) -> None:
                    """Before the last: a series is not complete while its association is open, so nothing is done with it before."""
                    if number == 4:
                        read_only.enter_context(disk.read_only(data_dir))

                assert store(node.port, second, between=make_read_only) == [0x0000] * 4 + [0xA700]
                assert "read-only" in peers.wait_until(unready, seconds=SECONDS, what="the disk to be told")
                # Completed, selected, and tried in vain. Whether the catalog can still be told so is chance: a connection that was
                # open before can be written to, one that is opened meanwhile cannot.
                peers.wait_until(
                    lambda: any(said in tried() for said in ("translate_disk", "CatalogAwayError")),
                    seconds=SECONDS,
                    what="the job to be tried",
                )
            peers.wait_until(lambda: states() == ["done", "done"], seconds=240.0, what="the series to be delivered")
            peers.wait_until(is_ready, seconds=SECONDS, what="the node to be ready again")
        derived = [dcmread(path, stop_before_pixels=True) for path in (scp.folder / "received").iterdir()]
        assert len({one.SOPInstanceUID for one in derived}) == len(derived) == 8
