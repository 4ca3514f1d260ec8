"""The listeners' processes: killed, orphaned, stopped."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from sqlalchemy.exc import OperationalError

from dicom_node.catalog import Catalog
from dicom_node.config import NodeSettings, Peer, Settings
from dicom_node.errors import ReceiveError
from dicom_node.receive import ListenerProcesses
from dicom_node.streaming.acceptor import listen
from tests import peers
from tests.ct_series import ct_slice

SECONDS = 30.0

PARENT = """
import sys, threading
from pathlib import Path
from dicom_node.config import NodeSettings, Settings
from dicom_node.receive import ListenerProcesses
from dicom_node.streaming.acceptor import listen

if __name__ == "__main__":
    node = NodeSettings(host="127.0.0.1", port=int(sys.argv[2]), data_dir=Path(sys.argv[1]), min_free_mib=0)
    ListenerProcesses(Settings(node=node)).start()
    print("listening", flush=True)
    threading.Event().wait()
"""


class Counts:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.reasons: list[str] = []
        self.open = 0

    def stored(self, *, route: str, outcome: str, size: int) -> None:
        assert size > 0
        self.outcomes.append(f"{route} {outcome}")

    def rejected(self, *, reason: str) -> None:
        self.reasons.append(reason)

    def associations(self, *, opened: int) -> None:
        self.open += opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    node = {
        "host": peers.HOST,
        "port": peers.free_port(),
        "data_dir": tmp_path / "var",
        "min_free_mib": 0,
        "listener_processes": 2,
    }
    return Settings(node=NodeSettings.model_validate(node))


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def listener(settings: Settings, counts: Counts) -> Iterator[ListenerProcesses]:
    listener = ListenerProcesses(settings, observer=counts)
    listener.start()
    yield listener
    listener.stop(grace_seconds=0.5)


def store(settings: Settings, number: int, *, called: str = "CECT_ART") -> int | None:
    ae = AE("SENDER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(peers.HOST, settings.node.port, ae_title=called)
    if not association.is_established:
        return None
    stored = np.full((16, 16), number, dtype=np.uint16)
    image = ct_slice(stored, (0, 0, number), series_uid="1.2.3.9", SOPInstanceUID=f"1.2.3.9.{number}")
    status = association.send_c_store(image).get("Status")
    association.release()
    return status


def count_held(settings: Settings) -> int:
    with Catalog(settings.catalog_location) as catalog:
        return sum(series.instance_count for series in catalog.list_series())


def test_what_is_received_is_recorded_and_told(listener: ListenerProcesses, settings: Settings, counts: Counts) -> None:
    assert len(set(listener.pids) | {os.getpid()}) == 3
    assert [store(settings, 1), store(settings, 1), store(settings, 2, called="NOBODY")] == [0x0000, 0x0000, None]
    assert count_held(settings) == 1
    peers.wait_until(
        lambda: len(counts.outcomes) == 2 and counts.reasons and counts.open == 0, seconds=SECONDS, what="the events"
    )
    assert sorted(counts.outcomes) == ["CECT_ART new", "CECT_ART same"]  # of two processes: told in either order
    assert counts.reasons == ["called_ae_unknown"]


def test_killed_they_come_back_and_their_associations_are_lost(listener: ListenerProcesses, settings: Settings) -> None:
    ae = AE("SENDER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(peers.HOST, settings.node.port, ae_title="CECT_ART")
    assert association.is_established
    killed = set(listener.pids)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    peers.wait_until(
        lambda: listener.is_listening and not killed & set(listener.pids), seconds=SECONDS, what="new processes"
    )
    assert store(settings, 1) == 0x0000
    with Catalog(settings.catalog_location) as catalog:
        peers.wait_until(lambda: not catalog.open_associations(), seconds=SECONDS, what="the associations to close")


def test_while_one_is_replaced_the_other_goes_on(listener: ListenerProcesses, settings: Settings) -> None:
    killed = listener.pids[0]
    os.kill(killed, signal.SIGKILL)
    assert [store(settings, number) for number in range(1, 4)] == [0x0000] * 3
    peers.wait_until(
        lambda: listener.is_listening and killed not in listener.pids, seconds=SECONDS, what="a new process"
    )
    assert count_held(settings) == 3


def test_their_places_are_counted_together_and_a_killed_one_keeps_none(settings: Settings, counts: Counts) -> None:
    few = settings.model_copy(update={"node": settings.node.model_copy(update={"max_associations": 3})})
    listener = ListenerProcesses(few, observer=counts)
    listener.start()
    opened: list[Association] = []

    def open_another() -> bool:
        ae = AE("SENDER")
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        opened.append(ae.associate(peers.HOST, few.node.port, ae_title="CECT_ART"))
        return opened[-1].is_established

    def open_now(pid: int) -> int:
        """How many a process has, by its connections."""
        return sum(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process(pid).net_connections("tcp"))

    try:
        assert [open_another() for _ in range(9)] == [True] * 3 + [False] * 6
        peers.wait_until(lambda: counts.reasons == ["all_places_taken"] * 6, seconds=SECONDS, what="the rejections")
        busiest = max(listener.pids, key=open_now)
        held = open_now(busiest)
        os.kill(busiest, signal.SIGKILL)
        peers.wait_until(
            lambda: busiest not in listener.pids and listener.is_listening, seconds=SECONDS, what="another process"
        )
        assert [open_another() for _ in range(held + 1)] == [True] * held + [False]
    finally:
        for one in opened:
            one.abort()
        listener.stop(grace_seconds=0.5)


@pytest.fixture
def opened() -> Iterator[list[Association]]:
    opened: list[Association] = []
    yield opened
    for one in opened:
        one.abort()


def opens(settings: Settings, opened: list[Association], calling_ae: str) -> bool:
    ae = AE(calling_ae)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    opened.append(ae.associate(peers.HOST, settings.node.port, ae_title="CECT_ART"))
    return opened[-1].is_established


@contextmanager
def only(pid: int, of: Sequence[int]) -> Iterator[None]:
    """While it lasts, this process accepts and the others stand still."""
    others = [one for one in of if one != pid]
    for one in others:
        peers.halt(one)
    try:
        yield
    finally:
        for one in others:
            os.kill(one, signal.SIGCONT)


def limited(settings: Settings, *known: Peer, max_associations: int) -> Settings:
    node = settings.node.model_copy(update={"peers": list(known), "max_associations": max_associations})
    return settings.model_copy(update={"node": node})


def test_a_peers_own_limit_holds_for_all_and_a_killed_one_keeps_nothing_of_it(
    settings: Settings, counts: Counts, opened: list[Association]
) -> None:
    few = limited(settings, Peer(ae_title="SCANNER", max_associations=1), Peer(ae_title="PACS"), max_associations=9)
    listener = ListenerProcesses(few, observer=counts)
    listener.start()
    try:
        first, second = listener.pids
        with only(first, listener.pids):
            assert opens(few, opened, "SCANNER")
        with only(second, listener.pids):
            assert not opens(few, opened, "SCANNER")
            assert opens(few, opened, "PACS")
        peers.wait_until(lambda: counts.reasons == ["peer_at_its_limit"], seconds=SECONDS, what="the rejection")
        os.kill(first, signal.SIGKILL)
        with suppress(psutil.NoSuchProcess):
            psutil.Process(first).wait(SECONDS)
        assert opens(few, opened, "SCANNER")
    finally:
        listener.stop(grace_seconds=0.5)


def test_the_places_left_to_peers_that_have_none_are_counted_in_all(
    settings: Settings, counts: Counts, opened: list[Association]
) -> None:
    few = limited(settings, *(Peer(ae_title=one) for one in ("PACS", "SCANNER", "ROUTER")), max_associations=4)
    listener = ListenerProcesses(few, observer=counts)
    listener.start()
    try:
        first, second = listener.pids
        with only(first, listener.pids):
            assert [opens(few, opened, "PACS") for _ in range(2)] == [True, True]
        with only(second, listener.pids):
            assert [opens(few, opened, one) for one in ("PACS", "SCANNER", "ROUTER")] == [False, True, True]
        peers.wait_until(lambda: counts.reasons == ["all_places_taken"], seconds=SECONDS, what="the rejection")
    finally:
        listener.stop(grace_seconds=0.5)


def test_it_ends_with_its_parent(tmp_path: Path, settings: Settings) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    port = settings.node.port
    command = [sys.executable, str(script), str(tmp_path / "var"), str(port)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"listening\n"
        peer = peers.Peer(name="parent", ae_title="S2LDM", port=port, folder=tmp_path, process=parent)
        assert peers.is_listening(peer)
    finally:
        parent.kill()
        parent.wait(SECONDS)
        parent.stdout.close()
    again = ListenerProcesses(settings)

    def starts() -> bool:
        try:
            again.start()
        except ReceiveError:
            return False
        return True

    peers.wait_until(starts, seconds=SECONDS, what="the port")
    again.stop(grace_seconds=0.5)


def test_a_port_in_use_is_told_to_the_parent(listener: ListenerProcesses, settings: Settings) -> None:
    with pytest.raises(ReceiveError) as caught:
        ListenerProcesses(settings).start()
    assert caught.value.code == "cannot_listen"
    assert listener.is_listening


def test_stopped_it_leaves_no_process_and_can_start_again(listener: ListenerProcesses, settings: Settings) -> None:
    listener.stop(grace_seconds=0.5)
    assert not listener.is_listening
    assert not [thread for thread in threading.enumerate() if thread.name == "listener-watch"]
    listener.start()
    assert store(settings, 1) == 0x0000


def test_it_comes_back_though_the_catalog_cannot_be_written(
    listener: ListenerProcesses, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("database or disk is full"))

    monkeypatch.setattr(Catalog, "open_associations", fail)
    killed = set(listener.pids)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    peers.wait_until(
        lambda: listener.is_listening and not killed & set(listener.pids), seconds=SECONDS, what="new processes"
    )
    assert store(settings, 1) == 0x0000


def test_killed_before_it_listens_it_is_started_again(settings: Settings) -> None:
    listener = ListenerProcesses(settings)
    killed: list[int] = []

    def kill_the_first() -> None:
        (pid, *_) = peers.wait_until(lambda: listener.pids, seconds=SECONDS, what="a process")
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    try:
        listener.start()
        killer.join()
        assert not set(killed) & set(listener.pids)
        assert store(settings, 1) == 0x0000
    finally:
        listener.stop(grace_seconds=0.5)


def test_port_that_is_only_about_to_be_free_is_waited_for(settings: Settings) -> None:
    listener = ListenerProcesses(settings)
    last = listen(peers.HOST, settings.node.port)
    timer = threading.Timer(1.0, last.close)
    timer.start()
    try:
        listener.start()
        assert store(settings, 1) == 0x0000
    finally:
        timer.join()
        listener.stop(grace_seconds=0.5)


def test_listeners_whose_node_is_gone_before_they_listen_end_too(settings: Settings, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    node = settings.node
    parent = subprocess.Popen([sys.executable, str(script), str(node.data_dir), str(node.port)], stdout=subprocess.PIPE)

    def started() -> list[psutil.Process]:
        children = psutil.Process(parent.pid).children()
        return [one for one in children if "resource_tracker" not in " ".join(one.cmdline())]

    try:
        listeners = peers.wait_until(started, seconds=SECONDS, what="a listener's process")
    finally:
        parent.kill()
        parent.communicate()

    _, left = psutil.wait_procs(listeners, timeout=SECONDS)
    for one in left:
        one.kill()
    assert left == []
