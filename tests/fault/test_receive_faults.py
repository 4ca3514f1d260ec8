"""Receiving while the disk is full, the catalog is away, or the node is killed at the worst moment."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from sqlalchemy.exc import OperationalError

from dicom_node.catalog import Catalog, NewInstance
from dicom_node.config import NodeSettings, Settings
from dicom_node.receive import Listener, spool
from tests import peers
from tests.ct_series import ct_slice

SECONDS = 20.0
ROUTE = "CECT_ART"

# The listener alone, as a program that kills itself with SIGKILL at the third instance: before its row is written, or
# when the row is there and the answer is not.
LISTENER = """
import os, signal, sys, time
from pathlib import Path
from dicom_node.catalog import Catalog
from dicom_node.config import NodeSettings, Settings
from dicom_node.receive import Listener

folder, port, moment = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

class Fatal(Catalog):
    count = 0

    def add_instances(self, batch, **more):
        Fatal.count += len(batch)
        if moment == "before the row" and Fatal.count == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        outcomes = super().add_instances(batch, **more)
        if moment == "before the answer" and Fatal.count == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcomes

settings = Settings(node=NodeSettings(host="127.0.0.1", port=port, data_dir=folder, min_free_mib=0))
catalog = Fatal(settings.catalog_location, lease_seconds=1.0)
Listener(settings, catalog).start()
while True:  # as the node does
    time.sleep(0.2)
    catalog.sweep_leases()
"""

Run = Callable[..., peers.Peer]


def image(number: int, *, size: int = 64) -> Dataset:
    stored = np.full((size, size), number, dtype=np.uint16)
    return ct_slice(stored, (0.0, 0.0, 2.0 * number), series_uid="1.2.3.9", SOPInstanceUID=f"1.2.3.9.{number}")


def store(port: int, images: list[Dataset]) -> list[int | None]:
    """C-STORE one after the other over one association, up to the first that no answer comes to (None)."""
    ae = AE("SENDER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(peers.HOST, port, ae_title=ROUTE)
    assert association.is_established
    statuses: list[int | None] = []
    for one in images:
        statuses.append(association.send_c_store(one).get("Status"))
        if statuses[-1] is None:
            break
    if None not in statuses:
        association.release()
    return statuses


def spooled(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "incoming").glob("*/*") if path.is_file())


@pytest.fixture
def run_listener(tmp_path: Path) -> Iterator[Run]:
    """``run_listener(moment, prefix=()) -> Peer``: the listener program above, on the same folder every time."""
    with ExitStack() as running:

        def run(moment: str = "never", *, prefix: tuple[str, ...] = ()) -> peers.Peer:
            port = peers.free_port()
            command = [*prefix, sys.executable, "-c", LISTENER, str(tmp_path / "var"), str(port), moment]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            running.callback(process.wait, SECONDS)
            running.callback(process.kill)
            peer = peers.Peer(name="listener", ae_title="S2LDM", port=port, folder=tmp_path, process=process)
            peers.wait_until(lambda: peers.is_listening(peer), seconds=60.0, what="the listener")
            return peer

        yield run


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., tuple[Listener, Catalog, int]]]:
    """A listener in this process."""
    with ExitStack() as running:

        def start(**node: int) -> tuple[Listener, Catalog, int]:
            values = {"host": peers.HOST, "port": peers.free_port(), "data_dir": tmp_path / "var", "min_free_mib": 0}
            settings = Settings(node=NodeSettings.model_validate(values | node))
            catalog = running.enter_context(Catalog(settings.catalog_location))
            listener = Listener(settings, catalog)
            listener.start()
            running.callback(listener.stop, grace_seconds=0.5)
            return listener, catalog, settings.node.port

        yield start


@pytest.mark.parametrize("moment", ["before the row", "before the answer"])
def test_what_was_acknowledged_survives_a_kill_and_the_rest_can_be_sent_again(
    run_listener: Run, tmp_path: Path, moment: str
) -> None:
    images = [image(number) for number in range(1, 6)]
    peer = run_listener(moment)
    statuses = store(peer.port, images)
    assert statuses[:2] == [0x0000, 0x0000]
    assert 0x0000 not in statuses[2:]
    assert peer.process.wait(SECONDS) == -9

    peer = run_listener()
    with Catalog(tmp_path / "var" / "catalog.sqlite") as catalog:
        peers.wait_until(lambda: not catalog.open_associations(), seconds=SECONDS, what="the lost association to end")
        (series,) = catalog.list_series()
        held = {row.sop_instance_uid: row for row in catalog.series_instances(series.key)}
        assert {"1.2.3.9.1", "1.2.3.9.2"} <= set(held)
        for number in (1, 2):
            path = held[f"1.2.3.9.{number}"].path
            assert path is not None
            assert dcmread(path).pixel_array.max() == number
        # As a sender does that has no answer for the third.
        assert store(peer.port, images) == [0x0000] * 5
        (series,) = catalog.list_series()
        rows = catalog.series_instances(series.key)
        assert series.instance_count == len(rows) == 5
        assert series.conflict_count == 0
    for row in rows:
        assert row.path is not None
        assert dcmread(row.path).SOPInstanceUID == row.sop_instance_uid


def test_a_file_cut_off_by_a_kill_is_removed_at_the_next_start(run_listener: Run, tmp_path: Path) -> None:
    peer = run_listener()
    assert store(peer.port, [image(1)]) == [0x0000]
    peer.kill()
    (whole,) = spooled(tmp_path / "var")
    cut_off = whole.with_name("0123.part")
    cut_off.write_bytes(whole.read_bytes()[:1000])
    run_listener()
    assert spooled(tmp_path / "var") == [whole]


@pytest.mark.skipif(not Path("/usr/bin/prlimit").exists(), reason="needs util-linux's prlimit")
def test_an_object_that_the_disk_cannot_hold_is_out_of_resources_and_the_next_goes_on(
    run_listener: Run, tmp_path: Path
) -> None:
    """The kernel ends the write in the middle of the object (EFBIG; ENOSPC takes the same way)."""
    peer = run_listener(prefix=("/usr/bin/prlimit", f"--fsize={6 * 2**20}"))
    assert store(peer.port, [image(1), image(2, size=2048), image(3)]) == [0x0000, 0xA700, 0x0000]
    assert len(spooled(tmp_path / "var")) == 2
    with Catalog(tmp_path / "var" / "catalog.sqlite") as catalog:
        assert catalog.list_series()[0].instance_count == 2


def test_below_the_reserve_nothing_is_accepted(
    listen: Callable[..., tuple[Listener, Catalog, int]], tmp_path: Path
) -> None:
    _, catalog, port = listen(min_free_mib=2**40)
    assert store(port, [image(1), image(2)]) == [0xA700, 0xA700]
    assert spooled(tmp_path / "var") == []
    assert catalog.list_series() == []


def test_without_the_catalog_nothing_is_accepted_and_nothing_is_left(
    listen: Callable[..., tuple[Listener, Catalog, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, catalog, port = listen()

    def fail(batch: list[NewInstance], **more: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    with monkeypatch.context() as patched:
        patched.setattr(catalog, "add_instances", fail)
        assert store(port, [image(1)]) == [0xA700]
    assert spooled(tmp_path / "var") == []
    assert store(port, [image(1)]) == [0x0000]
    assert len(spooled(tmp_path / "var")) == 1


def test_a_fault_of_ours_is_a_failure_and_the_association_goes_on(
    listen: Callable[..., tuple[Listener, Catalog, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, catalog, port = listen()

    def fail(batch: list[NewInstance], **more: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(catalog, "add_instances", fail)
        assert store(port, [image(1), image(2)]) == [0x0110, 0x0110]
    assert catalog.list_series() == []


def test_an_association_that_the_catalog_cannot_record_is_answered_out_of_resources(
    listen: Callable[..., tuple[Listener, Catalog, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, catalog, port = listen()
    failures = [OperationalError("INSERT", {}, Exception("database or disk is full"))] * 2
    record = catalog.open_association

    def open_association(association_id: str, **who: str) -> None:
        if failures:
            raise failures.pop()
        record(association_id, **who)

    monkeypatch.setattr(catalog, "open_association", open_association)
    # The association itself, its first object; then there is room again.
    assert store(port, [image(1), image(2)]) == [0xA700, 0x0000]
    assert len(spooled(tmp_path / "var")) == 1


def test_an_admission_that_fails_is_a_rejection_for_now(
    listen: Callable[..., tuple[Listener, Catalog, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, catalog, port = listen()

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(catalog, "open_association", fail)
    ae = AE("SENDER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(peers.HOST, port, ae_title=ROUTE)
    assert association.is_rejected
    assert association.acceptor.primitive.result_str == "Rejected Transient"


def test_an_object_beyond_its_size_is_refused_and_the_next_goes_on(
    listen: Callable[..., tuple[Listener, Catalog, int]], tmp_path: Path
) -> None:
    listen_to = listen(max_object_mib=1)
    assert store(listen_to[2], [image(1, size=800), image(2)]) == [0xA700, 0x0000]
    assert len(spooled(tmp_path / "var")) == 1


def test_below_the_reserve_an_object_under_way_is_given_up(
    listen: Callable[..., tuple[Listener, Catalog, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, port = listen(min_free_mib=1)
    free = [10 * 2**20]
    monkeypatch.setattr(spool, "_FREE_SECONDS", 0.0)
    monkeypatch.setattr(spool.shutil, "disk_usage", lambda _: SimpleNamespace(free=free.pop() if free else 0))

    assert store(port, [image(1, size=800)]) == [0xA700]
    assert spooled(tmp_path / "var") == []


def test_an_object_without_end_is_cut_off(listen: Callable[..., tuple[Listener, Catalog, int]], tmp_path: Path) -> None:
    _, catalog, port = listen(max_object_seconds=1)
    ae = AE("SENDER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(peers.HOST, port, ae_title=ROUTE)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 0
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, "1.2.3.9.1"
    request.DataSet = BytesIO(b"\0\0")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    (command, *_) = message.encode_msg(1, 16384)
    association.dul.send_pdu(command)

    def drip() -> bool:
        fragment = P_DATA()
        fragment.presentation_data_value_list.append((1, b"\x00" + b"0123456789"))
        association.dul.send_pdu(fragment)
        return not association.is_established and not catalog.open_associations()

    peers.wait_until(drip, seconds=SECONDS, what="the association to be aborted")
    assert spooled(tmp_path / "var") == []
