"""Files without a row: what was acknowledged is never thrown away, and nothing is kept that belongs to nothing."""

import json
import os
import stat
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, JobState
from dicom_node.catalog.retention import Expiry
from dicom_node.service.orphans import OrphanSweep
from tests import peers
from tests.integration.test_receive import Receiver, associate, encoded, image, send_bytes, start

__all__ = ["start"]


def fill(receiver: Receiver, numbers: range) -> None:
    with associate(receiver) as association:
        for number in numbers:
            sent = image(number, SOPInstanceUID=f"1.2.3.9.{number}")
            assert association.send_c_store(sent).Status == 0x0000


def content(catalog: Catalog) -> list[tuple[str, str, str]]:
    (series,) = catalog.list_series()
    return [(row.sop_instance_uid, row.digest, row.called_ae) for row in catalog.series_instances(series.key)]


def test_object_whose_file_is_gone_is_taken_in_again(start: Callable[..., Receiver]) -> None:
    receiver = start()
    fill(receiver, range(1))
    receiver.files()[0].unlink()

    fill(receiver, range(1))

    (series,) = receiver.catalog.list_series()
    (row,) = receiver.catalog.series_instances(series.key)
    assert [row.path] == receiver.files()
    assert series.instance_count == 1


def test_object_whose_file_was_cut_short_is_taken_in_again(start: Callable[..., Receiver]) -> None:
    receiver = start()
    fill(receiver, range(1))
    os.truncate(receiver.files()[0], 100)

    fill(receiver, range(1))

    (series,) = receiver.catalog.list_series()
    (row,) = receiver.catalog.series_instances(series.key)
    assert row.path is not None
    assert row.path.stat().st_size == row.size


def test_object_sent_while_retention_removes_its_file_is_taken_in(start: Callable[..., Receiver]) -> None:
    receiver = start()
    fill(receiver, range(1))
    catalog = receiver.catalog
    (series,) = catalog.list_series()
    job_id = catalog.complete_series(
        series.key, signal="quiet", phase="arterial", model="demo", seen_at=series.last_received_at
    )
    assert job_id is not None
    catalog.cancel_job(job_id)
    assert catalog.get_job(job_id).state is JobState.CANCELLED

    def remove(path: Path) -> bool:
        path.unlink()  # and here the node is killed
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.remove_sources(Expiry(refused=catalog.now()), remove)
    fill(receiver, range(1))

    (row,) = catalog.series_instances(series.key)
    assert [row.path] == receiver.files()


@pytest.mark.parametrize("lost", ["emptied", "deleted"])
def test_catalog_that_is_lost_is_written_anew_from_the_spool(
    start: Callable[..., Receiver], lost: str, tmp_path: Path
) -> None:
    receiver = start()
    fill(receiver, range(5))
    before = content(receiver.catalog)
    receiver.listener.stop(grace_seconds=0.1)
    receiver.catalog.close()
    for path in (tmp_path / "var").glob("catalog.sqlite*"):
        path.unlink() if lost == "deleted" else path.write_bytes(b"")

    with Catalog(receiver.settings.catalog_location) as catalog:
        assert OrphanSweep(receiver.settings, catalog).recover()
        assert content(catalog) == before
        assert not OrphanSweep(receiver.settings, catalog).recover()
    assert len(receiver.files()) == 5


def test_second_copy_goes_and_another_content_goes_to_quarantine(start: Callable[..., Receiver]) -> None:
    receiver = start()
    with associate(receiver) as association:
        send_bytes(association, encoded(image(1, SOPInstanceUID="1.2.3.9.1")), uid="1.2.3.9.1")
    (held,) = receiver.files()
    (held.parent / "copy.dcm").write_bytes(held.read_bytes())
    other = bytearray(held.read_bytes())
    other[-1] ^= 1
    (held.parent / "other.dcm").write_bytes(other)
    (held.parent / "rubbish.dcm").write_bytes(b"rubbish")

    assert OrphanSweep(receiver.settings, receiver.catalog).recover()

    assert receiver.files() == [held]
    reasons = {row.path.name: row.reason.code for row in receiver.catalog.list_quarantine() if row.path is not None}
    assert reasons == {"other.dcm": "found_without_row", "rubbish.dcm": "found_without_row"}
    assert {path.name for path in receiver.quarantined()} == set(reasons)


def test_file_that_is_only_just_sealed_is_left_to_its_listener(start: Callable[..., Receiver]) -> None:
    receiver = start()
    fill(receiver, range(1))
    (held,) = receiver.files()
    young = held.parent / "young.dcm"
    young.write_bytes(b"on its way")

    assert not OrphanSweep(receiver.settings, receiver.catalog).run_once()

    assert young.exists()


def test_what_belongs_to_nothing_goes_after_a_day(start: Callable[..., Receiver], tmp_path: Path) -> None:
    receiver = start()
    incoming, derived = tmp_path / "var" / "incoming" / "00" / "x.part", tmp_path / "var" / "derived" / "7.abc"
    incoming.write_bytes(b"cut off")
    derived.mkdir(parents=True)
    sweep = OrphanSweep(receiver.settings, receiver.catalog)
    sweep.run_once()
    assert incoming.exists()
    assert derived.exists()

    for path in (incoming, derived):
        os.utime(path, (0, 0))
    sweep.run_once()

    assert not incoming.exists()
    assert not derived.exists()


def test_nobody_else_may_read_what_is_kept(start: Callable[..., Receiver], tmp_path: Path) -> None:
    receiver = start()
    fill(receiver, range(1))
    earlier = tmp_path / "var" / "derived" / "1"
    earlier.mkdir(parents=True)
    (earlier / "1.dcm").write_bytes(b"of an earlier version")
    (earlier / "1.dcm").chmod(0o644)

    def open_to_others() -> set[str]:
        found = [tmp_path / "var", *(tmp_path / "var").rglob("*")]
        return {path.name for path in found if stat.S_IMODE(path.stat().st_mode) & 0o027}

    assert open_to_others() == {"derived", "1", "1.dcm"}
    OrphanSweep(receiver.settings, receiver.catalog).run_once()
    assert open_to_others() == set()


def test_node_that_lost_its_catalog_starts_with_what_it_had_received(
    start: Callable[..., Receiver], tmp_path: Path
) -> None:
    receiver = start()
    fill(receiver, range(5))
    receiver.listener.stop(grace_seconds=0.1)
    receiver.catalog.close()
    for path in (tmp_path / "var").glob("catalog.sqlite*"):
        path.unlink()
    (tmp_path / "var").chmod(0o755)

    route = {"phase": "arterial", "model": str(tmp_path / "none")}
    with peers.node(tmp_path, {"routes": {"CECT_ART": route}, "compute": {"device": "cpu"}}) as node:
        (series,) = node.get_json("/api/series")["items"]
        assert series["instances"] == 5
        checks = {check["name"] for check in json.loads(ready(node))["checks"]}
        assert {"timers", "work"} <= checks
        found = [tmp_path / "var", *(tmp_path / "var").rglob("*")]
        assert [path.name for path in found if stat.S_IMODE(path.stat().st_mode) & 0o027] == []


def ready(node: peers.Peer) -> bytes:
    try:
        return node.get("/readyz")
    except urllib.error.HTTPError as error:  # without a model it is not
        return error.read()
