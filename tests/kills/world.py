"""What a campaign runs: nodes on one state, the destination that counts, and how they are killed and started again."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests import peers
from tests.kills import archive, hurried
from tests.kills.looking import Look
from tests.kills.processes import roles
from tests.kills.sender import ROUTE
from tests.tiny_model import write_tiny_package

#: For a machine that has much else to do.
_SECONDS = 300.0
_DAY_SECONDS = 86_400.0
_ASK_SECONDS = 0.2
#: Listener, worker and examiner.
_PROCESSES = 3
#: Files stay for so long after their series ended.
KEPT_SECONDS = 30.0
#: What the destination has on hand when its sender dies is in its journal after so long.
_AT_HAND_SECONDS = 0.1 + archive.STORE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What the destination says of one SOP Instance UID: how often it accepted it, and with how many contents."""

    times: int
    contents: int


@dataclass(kw_only=True)
class World:
    """Nodes, their database and their destination.

    Attributes
    ----------
    unrecorded
        UIDs that the destination had accepted, and how often until then, when a node or the database was killed before
        the answer had a row: nobody can know then, and the node sends the instance once more.
    """

    folder: Path
    settings: Mapping[str, Any]
    look: Look
    archive: peers.Peer
    names: tuple[str, ...] = ("a",)
    nodes: dict[str, peers.Peer] = field(default_factory=dict)
    unrecorded: set[tuple[str, int]] = field(default_factory=set)
    spent_seconds: float = 0.0
    _running: dict[str, ExitStack] = field(default_factory=dict)
    _ports: dict[str, dict[str, int]] = field(default_factory=dict)
    _turn: int = 0

    @property
    def data_dir(self) -> Path:
        """Shared by the nodes."""
        return self.folder / "var"

    def config(self, name: str) -> Path:
        """A node's configuration."""
        return self.folder / name / "node.yaml"

    def port(self) -> int:
        """The DICOM port of the next node that lives, in turn; of a node that is away where none does."""
        self._turn += 1
        living = [name for name in self.names if self.lives(name)] or list(self.names)
        return self._ports[living[self._turn % len(living)]]["node"]

    def port_of(self, name: str) -> int:
        """A node's DICOM port."""
        return self._ports[name]["node"]

    def lives(self, name: str) -> bool:
        """Whether a node's process runs."""
        return name in self.nodes and self.nodes[name].process.poll() is None

    def start(self, name: str) -> None:
        """Start a node, on the same ports every time, and wait until it listens.

        What the one before has left is not ended here: its processes have to see to that themselves.
        """
        ports = self._ports.setdefault(name, {"node": peers.free_port(), "web": peers.free_port()})
        settings: dict[str, Any] = {section: dict(values) for section, values in self.settings.items()}
        for section, port in ports.items():
            settings[section] = {**settings.get(section, {}), "port": port}
        stack = ExitStack()
        prefix = (sys.executable, hurried.__file__)
        try:
            self.nodes[name] = stack.enter_context(
                peers.node(self.folder / name, settings, prefix=prefix, start_seconds=_SECONDS)
            )
        finally:
            last, self._running[name] = self._running.pop(name, None), stack
            if last is not None:
                last.close()

    def make_ready(self) -> None:
        """Start every node that does not live, and wait until all are ready for work."""
        for name in self.names:
            if not self.lives(name):
                self.start(name)
        peers.wait_until(
            lambda: all(self.is_ready(name) for name in self.names), seconds=_SECONDS, what="the nodes to be ready"
        )

    def is_ready(self, name: str) -> bool:
        """Whether a node says that it is ready for work, and has all its processes."""
        with suppress(OSError):
            self.nodes[name].get("/readyz")
            if len(self.roles(name)) == _PROCESSES:
                return True
        time.sleep(_ASK_SECONDS)  # to be asked costs the node something
        return False

    def roles(self, name: str) -> dict[str, int]:
        """The process IDs of a node's listener, worker and examiner."""
        return roles(self.nodes[name].process.pid, port=self._ports[name]["node"])

    def kill(self, name: str) -> None:
        """SIGKILL to a node's own process."""
        node = self.nodes[name]
        with suppress(psutil.NoSuchProcess):
            self.spent_seconds += peers.processor_seconds(node)
        node.kill()

    def process_of(self, name: str) -> int | None:
        """The process ID of a node that is being started."""
        named = str(self.config(name))
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                if named in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    return child.pid
        return None

    def accepted(self) -> dict[str, Accepted]:
        """What the destination has accepted, by SOP Instance UID."""
        times: Counter[str] = Counter()
        contents: dict[str, set[str]] = {}
        for line in self.journal():
            times[line["uid"]] += 1
            contents.setdefault(line["uid"], set()).add(line["digest"])
        return {uid: Accepted(times=count, contents=len(contents[uid])) for uid, count in times.items()}

    def accepted_count(self) -> int:
        """How many acceptances the destination's journal has."""
        path = self.folder / "archive" / "journal"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def journal(self) -> list[dict[str, Any]]:
        """The destination's lines, as they came."""
        path = self.folder / "archive" / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def note_unrecorded(self) -> int:
        """After a kill: remember what the destination has accepted and the catalog does not know of; how many."""
        time.sleep(_AT_HAND_SECONDS)
        rows = self.look.rows("SELECT sop_instance_uid FROM delivery_instances WHERE verdict = 'accepted'")
        recorded = {uid for (uid,) in rows}
        unknown = [(uid, one.times) for uid, one in self.accepted().items() if uid not in recorded]
        self.unrecorded.update(unknown)
        return len(unknown)

    def processor_seconds(self) -> float:
        """What nodes and destination have spent so far, and the campaign itself."""
        spent = self.spent_seconds + time.process_time() + peers.processor_seconds(self.archive)
        return spent + sum(peers.processor_seconds(self.nodes[name]) for name in self.names if self.lives(name))

    def close(self) -> None:
        """End everything."""
        for stack in self._running.values():
            stack.close()
        self.look.close()


@contextmanager
def world(
    folder: Path,
    *,
    names: tuple[str, ...] = ("a",),
    database: str | None = None,
    compute: Mapping[str, Any] | None = None,
) -> Iterator[World]:
    """A world in an empty folder; nothing of it runs but the destination.

    ``database``: a URL that the nodes share; None: SQLite, for one node. ``compute``: how they translate.
    """
    package = write_tiny_package(folder / "tiny")
    with _archive(folder / "archive") as destination:
        route = {"phase": "arterial", "model": str(package), "destinations": ["archive"], "anatomy": "any"}
        pacs = {**peers.destination(destination), "retry_seconds": 0.5, "retry_max_seconds": 2.0}
        kept = KEPT_SECONDS / _DAY_SECONDS
        settings = {
            "node": {
                "host": peers.HOST,
                "data_dir": str(folder / "var"),
                "min_free_mib": 16,
                "database": database,
            },
            # A sender comes back within seconds of a kill; one that has nothing left to send does not come back.
            "series": {"quiet_seconds": 1, "open_association_seconds": 15, "min_slices": 3},
            "routes": {ROUTE: route},
            "destinations": {"archive": pacs},
            "compute": {
                "device": "cpu",
                "threads": 1,
                "max_attempts": 10,
                "retry_seconds": 0.5,
                **(compute or {}),
            },
            "retention": {"source_days": kept, "derived_days": kept},
            "web": {"host": peers.HOST},
        }
        look = Look(database or folder / "var" / "catalog.sqlite")
        made = World(folder=folder, settings=settings, look=look, archive=destination, names=names)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def _archive(folder: Path) -> Iterator[peers.Peer]:
    folder.mkdir(parents=True)
    port = peers.free_port()
    command = [sys.executable, archive.__file__, str(port), str(folder / "journal")]
    with (folder / "archive.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ)
    peer = peers.Peer(name="archive", ae_title="ARCHIVE", port=port, folder=folder, process=process)
    try:
        peers.wait_until(lambda: peers.is_listening(peer), seconds=_SECONDS, what="the destination to listen")
        yield peer
    finally:
        process.kill()
        process.wait()
