"""Other people's DICOM programs, and our own node, as processes on this machine: for benchmarks and integration tests.

Everything listens on 127.0.0.1, on a port that was free a moment ago, and keeps its files in a folder of the caller's.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml
from pydicom import dcmread
from pydicom.filereader import read_dataset
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

ORTHANC = "/usr/sbin/Orthanc"
STORESCU = "/usr/bin/storescu"
STORESCP = "/usr/bin/storescp"
ECHOSCU = "/usr/bin/echoscu"
HOST = "127.0.0.1"

T = TypeVar("T")

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0


class PeerError(RuntimeError):
    """A program did not start, or did not do what was asked of it in time; the text holds the end of its output."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A running DICOM program."""

    name: str
    ae_title: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    http_port: int | None = None

    @property
    def log(self) -> Path:
        """What it wrote to standard output and standard error."""
        return self.folder / f"{self.name}.log"

    def get(self, path: str) -> bytes:
        """GET `path` from its HTTP port."""
        with urllib.request.urlopen(f"http://{HOST}:{self.http_port}{path}", timeout=30) as response:
            content: bytes = response.read()
        return content

    def get_json(self, path: str) -> Any:
        """GET `path` from its HTTP port, decoded."""
        return json.loads(self.get(path))

    def kill(self) -> None:
        """SIGKILL, to the program alone, and wait until it is gone."""
        self.process.kill()
        self.process.wait(_STOP_SECONDS)


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until(condition: Callable[[], T], *, seconds: float, what: str) -> T:
    """The first true value of `condition`, asked for again and again until `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise PeerError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)


def halt(pid: int) -> None:
    """Stop a process where it is; on return no thread of it runs, so that none takes a connection that comes now."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _stands_still(pid), seconds=_STOP_SECONDS, what=f"process {pid} to stand still")


def _stands_still(pid: int) -> bool:
    """Whether all threads are stopped (proc(5))."""
    states = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
    return states == {"T"}


def is_listening(peer: Peer) -> bool:
    """Whether its DICOM port takes connections; raises `PeerError` if the program has ended."""
    _check_running(peer)
    with socket.socket() as probe:
        return probe.connect_ex((HOST, peer.port)) == 0


def environment() -> dict[str, str]:
    """The environment for DCMTK and Orthanc: TCP_NODELAY, without which every image waits for a delayed ACK."""
    return {**os.environ, "TCP_NODELAY": "1"}


@contextmanager
def orthanc(
    folder: Path, *, ae_title: str = "ORTHANC", port: int | None = None, options: Mapping[str, Any] | None = None
) -> Iterator[Peer]:
    """An Orthanc with an empty storage in `folder` (or what stands there from an earlier run); ``options`` of its own beside ours."""
    folder.mkdir(parents=True, exist_ok=True)
    port, http_port = port or free_port(), free_port()
    configuration = {
        "Name": ae_title,
        "DicomAet": ae_title,
        "DicomPort": port,
        "HttpPort": http_port,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [],
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "UnknownSopClassAccepted": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "OverwriteInstances": False,
        **(options or {}),
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration, indent=2))
    with _process("orthanc", [ORTHANC, str(path)], folder) as process:
        peer = Peer(name="orthanc", ae_title=ae_title, port=port, folder=folder, process=process, http_port=http_port)
        _await_answer(peer, "/system")
        yield peer


@contextmanager
def storescp(
    folder: Path, *, ae_title: str = "STORESCP", port: int | None = None, options: Sequence[str] = ("--fork",)
) -> Iterator[Peer]:
    """DCMTK's storage SCP; received files go to ``folder/received``."""
    received = folder / "received"
    received.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [STORESCP, "+xa", "-pdu", "131072", *options, "-aet", ae_title, "-od", str(received), str(port)]
    with _process("storescp", command, folder) as process:
        peer = Peer(name="storescp", ae_title=ae_title, port=port, folder=folder, process=process)
        _await_port(peer)
        yield peer


@contextmanager
def node(
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    prefix: Sequence[str] = (),
    start_seconds: float = _START_SECONDS,
) -> Iterator[Peer]:
    """Our node, ``s2ldm-node serve``, with `settings` laid over a configuration for `folder` with free ports.

    `prefix` goes before the command, for a program that sets limits and then runs it. `start_seconds`: what it may take
    until it listens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configuration: dict[str, Any] = {
        "node": {"host": HOST, "port": free_port(), "data_dir": str(folder / "var"), "min_free_mib": 16},
        "web": {"host": HOST, "port": free_port()},
    }
    for section, values in (settings or {}).items():
        configuration[section] = {**configuration.get(section, {}), **values}
    path = folder / "node.yaml"
    path.write_text(yaml.safe_dump(configuration, sort_keys=False))
    command = [*prefix, str(Path(sys.executable).with_name("s2ldm-node")), "serve", "--config", str(path)]
    with _process("node", command, folder) as process:
        peer = Peer(
            name="node",
            ae_title=configuration["node"].get("ae_title", "S2LDM"),
            port=configuration["node"]["port"],
            folder=folder,
            process=process,
            http_port=configuration["web"]["port"],
        )
        _await_answer(peer, "/healthz", seconds=start_seconds)
        _await_port(peer, seconds=start_seconds)
        yield peer


def storescu(
    peer: Peer, paths: Sequence[Path], *, called_ae: str | None = None, options: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start DCMTK's storage SCU on files or folders; the caller waits for it."""
    command = [STORESCU, "+sd", *options, "-aec", called_ae or peer.ae_title, HOST, str(peer.port), *map(str, paths)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def send(peer: Peer, paths: Sequence[Path], *, called_ae: str, options: Sequence[str] = ()) -> str:
    """Send files or folders with DCMTK and return what it said; raises `PeerError` unless all were accepted."""
    process = storescu(peer, paths, called_ae=called_ae, options=("-v", *options))
    output, _ = process.communicate(timeout=120)
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise PeerError(f"storescu ended with {process.returncode}:\n{text[-2000:]}")
    return text


def processor_seconds(peer: Peer) -> float:
    """What `peer` and its processes, those that have ended included, have spent so far in user and system mode."""
    root = psutil.Process(peer.process.pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


@contextmanager
def _process(name: str, command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("ab") as log:
        # A process group of its own, so that whatever it starts ends with it.
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _await_port(peer: Peer, *, seconds: float = _START_SECONDS) -> None:
    wait_until(lambda: is_listening(peer), seconds=seconds, what=f"{peer.name} to listen")


def _await_answer(peer: Peer, path: str, *, seconds: float = _START_SECONDS) -> None:
    def answers() -> bool:
        _check_running(peer)
        try:
            peer.get(path)
        except (urllib.error.URLError, OSError):
            return False
        return True

    wait_until(answers, seconds=seconds, what=f"{peer.name} to answer {path}")


def _check_running(peer: Peer) -> None:
    if peer.process.poll() is not None:
        end = peer.log.read_text(errors="replace")[-2000:] if peer.log.exists() else ""
        raise PeerError(f"{peer.name} ended with {peer.process.returncode}:\n{end}")


def destination(peer: Peer) -> dict[str, Any]:
    """`peer` as an entry of the configuration's ``destinations``."""
    return {"ae_title": peer.ae_title, "host": HOST, "port": peer.port}


def headers(folder: Path) -> dict[str, Any]:
    """The data sets in `folder`, without pixels, by SOP Instance UID."""
    found = (dcmread(path, stop_before_pixels=True) for path in sorted(folder.iterdir()))
    return {dataset.SOPInstanceUID: dataset for dataset in found}


def send_bytes(peer: Peer, paths: Sequence[Path], *, called_ae: str, calling_ae: str = "BYTES") -> list[int]:
    """C-STORE the data sets of files over one association byte by byte as they stand there; the status of each.

    Nothing is parsed but the file meta information, so that a data set that no toolkit would write arrives as it is. An
    association carries no more than 128 presentation contexts.
    """
    found = [_data_set(path) for path in paths]
    entity = AE(calling_ae)
    for sop_class, _, syntax, _ in {one[:1] + one[2:3]: one for one in found}.values():
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate(
        HOST, peer.port, ae_title=called_ae, max_pdu=131072, evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once)]
    )
    if not association.is_established:
        raise PeerError(f"{called_ae} takes no association")
    contexts = {(one.abstract_syntax, one.transfer_syntax[0]): one.context_id for one in association.accepted_contexts}
    # pynetdicom's own thread would look for requests of the peer, find our answers, and drop them.
    take = association.dimse.get_msg
    association.dimse.get_msg = lambda block=False: (None, None)
    statuses = []
    for number, (sop_class, sop_instance, syntax, content) in enumerate(found, start=1):
        request = C_STORE()
        request.MessageID, request.Priority = number % 65536, 0
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, sop_instance
        request.DataSet = BytesIO(content)
        association.dimse.send_msg(request, contexts[sop_class, syntax])
        _, response = take(block=True)
        if response is None or response.Status is None:
            raise PeerError(f"no answer for {sop_instance}")
        statuses.append(response.Status)
    association.release()
    return statuses


def _send_at_once(event: evt.Event) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _data_set(path: Path) -> tuple[str, str, str, bytes]:
    """SOP Class, SOP Instance and Transfer Syntax UID of a file, and the bytes behind its file meta information."""
    header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
    meta = header.file_meta
    with path.open("rb") as file:
        file.seek(132)
        # To its end, as its stated length is wrong in some files (PS3.10 7.1).
        read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
        content = file.read()
    return (
        str(header.get("SOPClassUID") or meta.MediaStorageSOPClassUID),
        str(header.get("SOPInstanceUID") or meta.MediaStorageSOPInstanceUID),
        str(meta.TransferSyntaxUID),
        content,
    )
