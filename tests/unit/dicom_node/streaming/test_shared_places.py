"""Places of several processes: so many in all, given back by a process however it ends."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest

from dicom_node.streaming.shared_places import SharedPlaces

SPAWN = get_context("spawn")
SECONDS = 30.0


def _serve(connection: Connection, places: SharedPlaces) -> None:
    """Another listener: takes (``name``, ``spare``) and gives (``name``) as it is told."""
    while True:
        wanted = connection.recv()
        if isinstance(wanted, tuple):
            name, spare = wanted
            connection.send(places.take(name, spare=spare))
        else:
            places.give(wanted)
            connection.send(None)


class Other:
    """That process."""

    def __init__(self, places: SharedPlaces) -> None:
        self._connection, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_serve, args=(theirs, places), daemon=True)
        self.process.start()
        theirs.close()

    def take(self, name: str, *, spare: int = 0) -> bool:
        self._connection.send((name, spare))
        assert self._connection.poll(SECONDS)
        return bool(self._connection.recv())

    def give(self, name: str) -> None:
        self._connection.send(name)
        assert self._connection.poll(SECONDS)
        self._connection.recv()

    def kill(self) -> None:
        self.process.kill()
        self.process.join(SECONDS)
        self._connection.close()


@pytest.fixture
def places() -> Iterator[SharedPlaces]:
    places = SharedPlaces(4)
    yield places
    places.close()


@pytest.fixture
def other(places: SharedPlaces) -> Iterator[Callable[[], Other]]:
    with ExitStack() as running:

        def start() -> Other:
            one = Other(places)
            running.callback(one.kill)
            return one

        yield start


def test_one_process_alone_takes_all_and_gives_them_back(places: SharedPlaces) -> None:
    assert [places.take(name) for name in "abcde"] == [True] * 4 + [False]
    assert not places.take("f", spare=1)
    places.give("b")
    places.give("never had one")
    assert not places.take("f", spare=1)
    assert places.take("f")


def test_there_are_no_more_for_several_processes_than_for_one(places: SharedPlaces, other: Callable[[], Other]) -> None:
    first, second = other(), other()
    assert [first.take("a"), second.take("a"), places.take("a"), first.take("b")] == [True] * 4
    assert [first.take("c"), second.take("b"), places.take("b")] == [False] * 3
    second.give("a")
    assert not places.take("b", spare=1), "one is left, and it is to be spared"
    assert places.take("b")
    assert not first.take("c")


def test_a_process_that_is_killed_keeps_none(places: SharedPlaces, other: Callable[[], Other]) -> None:
    gone, there = other(), other()
    assert [gone.take(name) for name in "abc"] == [True] * 3
    assert there.take("a")
    assert not there.take("b")
    gone.kill()
    assert [there.take(name) for name in "bcde"] == [True] * 3 + [False]
