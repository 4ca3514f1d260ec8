"""One kill from its preparation to rest: what points are written with."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests import peers
from tests.kills.invariant import unrest
from tests.kills.processes import children
from tests.kills.sender import Act, Sending
from tests.kills.series import Series
from tests.kills.world import World

T = TypeVar("T")
#: So long a moment is waited for.
MOMENT_SECONDS = 120.0
_REST_SECONDS = 480.0
_LOOK_SECONDS = 0.001


class MissedError(RuntimeError):
    """The moment did not come, or was over before it was seen: nothing was killed."""


@dataclass(kw_only=True)
class Scene:
    """A world whose nodes are ready, and series that have not been sent yet.

    Attributes
    ----------
    name
        The node that is struck.
    victims
        What was killed.
    extra
        More of what a point works with (a Ray cluster, a database's server).
    """

    world: World
    random: random.Random
    name: str
    series: tuple[Series, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    sendings: list[Sending] = field(default_factory=list)
    victims: list[str] = field(default_factory=list)
    _roles: dict[str, int] = field(default_factory=dict)
    _faults: list[BaseException] = field(default_factory=list)

    def prepare(self) -> None:
        """Look which process is which, so that a kill need not."""
        self._roles = self.world.roles(self.name)

    def send(self, *, halfway: Mapping[int, Act] | None = None, answered: Mapping[int, Act] | None = None) -> None:
        """Send the series, one after the other's first image; what is to be done at an image is done at the first's."""
        for index, one in enumerate(self.series):
            hooks = {"halfway": self._guarded(halfway), "answered": self._guarded(answered)} if index == 0 else {}
            port = (lambda: self.world.port()) if index else (lambda: self._own_port())
            sending = Sending(one, port=port, **hooks)
            self.sendings.append(sending)
            sending.start()

    def send_again(self) -> None:
        """Once everything was acknowledged: send it all again, as a sender does that has forgotten."""
        self.close()
        again = [Sending(one.series, port=self.world.port) for one in self.sendings]
        self.sendings[:] = again
        for one in again:
            one.start()

    def kill_child(self, role: str) -> None:
        """SIGKILL to a process of the node that is struck."""
        pid = self._roles[role]
        os.kill(pid, signal.SIGKILL)
        self.victims.append(role)

    def kill_pid(self, pid: int, what: str) -> None:
        """SIGKILL to another process."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError as error:
            raise MissedError(f"{what} is gone") from error
        self.victims.append(what)

    def kill_node(self) -> None:
        """SIGKILL to the node that is struck."""
        self.world.kill(self.name)
        self.victims.append("node")

    def newest_child(self, *, than: set[int]) -> int:
        """The process that the node starts in place of another."""
        node = self.world.nodes[self.name].process.pid
        return self.moment(lambda: next((pid for pid in children(node) if pid not in than), 0), "another process")

    def known_children(self) -> set[int]:
        """The node's processes at present."""
        return set(children(self.world.nodes[self.name].process.pid))

    def at(self, state: str) -> None:
        """Wait until somebody works on one of the series in ``state``."""
        statement = (
            "SELECT count(*) FROM jobs JOIN series ON series.id = jobs.series_id"
            " WHERE jobs.worker IS NOT NULL AND jobs.state = ? AND series_instance_uid = ?"
        )
        self.moment(
            lambda: any(self.world.look.number(statement, state, one.uid) for one in self.series),
            f"a job to be {state}",
        )

    def moment(self, condition: Callable[[], T], what: str, *, seconds: float = MOMENT_SECONDS) -> T:
        """The first true value of ``condition``, looked for as often as can be."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise MissedError(f"waited for {what}")
            time.sleep(_LOOK_SECONDS)
        return value

    def pause(self, least: float, most: float) -> None:
        """Let a random time pass."""
        time.sleep(self.random.uniform(least, most))

    def await_victim(self) -> None:
        """Wait until what a sender's thread is to kill is dead."""
        self.moment(lambda: self.victims or self._faults, "the moment")
        if self._faults:
            raise self._faults[0]

    def recover(self) -> None:
        """Start what was killed and does not start again by itself."""
        if not self.world.lives(self.name):
            self.world.note_unrecorded()
            self.world.start(self.name)

    def rest(self) -> None:
        """Wait until nothing is under way any more; see `rest`."""
        rest(self.world, self.sendings)

    def close(self) -> None:
        """Send nothing more."""
        for one in self.sendings:
            one.stop()

    def _own_port(self) -> int:
        return self.world.port_of(self.name) if self.world.lives(self.name) else self.world.port()

    def _guarded(self, acts: Mapping[int, Act] | None) -> dict[int, Act]:
        """Acts whose faults are this scene's, not a sender's."""
        return {index: self._guard(act) for index, act in (acts or {}).items()}

    def _guard(self, act: Act) -> Act:
        def guarded() -> None:
            try:
                act()
            except Exception as fault:  # noqa: BLE001 (raised where the scene waits for it)
                self._faults.append(fault)

        return guarded


def in_background(act: Act) -> threading.Thread:
    """Start something that may fail because what it waits for is killed."""

    def run() -> None:
        with suppress(peers.PeerError):
            act()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def rest(world: World, sendings: Sequence[Sending]) -> None:
    """Wait until nothing is under way any more.

    Raises
    ------
    PeerError
        With what still is.
    """
    deadline = time.monotonic() + _REST_SECONDS
    while left := unrest(world, sendings):
        if time.monotonic() > deadline:
            raise peers.PeerError(f"no rest after {_REST_SECONDS:.0f} s: {left}")
        time.sleep(0.1)
