"""Places of several processes: so many in all, given back by a process however it ends."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest

from dicom_node.streaming.places import Occupancy
from dicom_node.streaming.shared_places import SharedPlaces

SPAWN = get_context("spawn")
SECONDS = 30.0


def take(places: SharedPlaces, name: str, party: str = "", *, spare: int = 0, most: int | None = None) -> bool:
    """Whether a place was taken: ``spare`` were left then, and the party had fewer than ``most``."""

    def refused(now: Occupancy) -> bool | None:
        return now.left <= spare or (most is not None and now.of(party) >= most) or None

    return places.take(name, party, object_to=refused) is None


def _serve(connection: Connection, places: SharedPlaces) -> None:
    """Another listener: takes (``name``, ``party``, ``spare``, ``most``) and gives (``name``) as it is told."""
    while True:
        wanted = connection.recv()
        if isinstance(wanted, tuple):
            name, party, spare, most = wanted
            connection.send(take(places, name, party, spare=spare, most=most))
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

    def take(self, name: str, party: str = "", *, spare: int = 0, most: int | None = None) -> bool:
        self.want(name, party, spare=spare, most=most)
        return self.got()

    def want(self, name: str, party: str = "", *, spare: int = 0, most: int | None = None) -> None:
        self._connection.send((name, party, spare, most))

    def got(self) -> bool:
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
    assert [take(places, name) for name in "abcde"] == [True] * 4 + [False]
    assert not take(places, "f", spare=1)
    places.give("b")
    places.give("never had one")
    assert not take(places, "f", spare=1)
    assert take(places, "f")


def test_there_are_no_more_for_several_processes_than_for_one(places: SharedPlaces, other: Callable[[], Other]) -> None:
    first, second = other(), other()
    assert [first.take("a"), second.take("a"), take(places, "a"), first.take("b")] == [True] * 4
    assert [first.take("c"), second.take("b"), take(places, "b")] == [False] * 3
    second.give("a")
    assert not take(places, "b", spare=1), "one is left, and it is to be spared"
    assert take(places, "b")
    assert not first.take("c")


def test_a_process_that_is_killed_keeps_none(places: SharedPlaces, other: Callable[[], Other]) -> None:
    gone, there = other(), other()
    assert [gone.take(name) for name in "abc"] == [True] * 3
    assert there.take("a")
    assert not there.take("b")
    gone.kill()
    assert [there.take(name) for name in "bcde"] == [True] * 3 + [False]


def test_what_a_party_has_is_counted_in_all_processes(places: SharedPlaces, other: Callable[[], Other]) -> None:
    first, second = other(), other()
    assert [first.take("a", "PACS"), second.take("a", "PACS"), first.take("b", "SCANNER")] == [True] * 3
    assert not any(one.take("c", "PACS", most=2) for one in (first, second))
    assert not take(places, "c", "PACS", most=2)
    second.give("a")
    assert first.take("c", "PACS", most=2)


def test_it_does_not_matter_in_which_order_they_took_them(places: SharedPlaces, other: Callable[[], Other]) -> None:
    one, two, _ = trio = other(), other(), other()
    for process in trio:
        assert process.take("a", "PACS")
    for process in (one, two):
        process.give("a")
    for process in (two, one):  # the places that the other had
        assert process.take("a", "PACS")
    assert [take(places, "a", "PACS", most=most) for most in (2, 3, 4)] == [False, False, True]
    assert [process.take("b", "PACS", most=4) for process in trio] == [False] * 3
    for process in trio:
        process.give("a")
    assert one.take("a", "PACS", most=2)


def test_a_place_that_was_given_back_is_no_longer_of_who_had_it(
    places: SharedPlaces, other: Callable[[], Other]
) -> None:
    first, second = other(), other()
    assert first.take("a", "PACS")
    first.give("a")
    assert second.take("a", "SCANNER", most=1)
    assert first.take("a", "PACS", most=1)


def test_of_a_process_that_is_killed_its_parties_have_none(places: SharedPlaces, other: Callable[[], Other]) -> None:
    gone, there = other(), other()
    assert gone.take("a", "PACS")
    assert not there.take("a", "PACS", most=1)
    gone.kill()
    assert there.take("a", "PACS", most=1)


def test_of_many_that_want_what_only_one_may_have_one_gets_it(places: SharedPlaces, other: Callable[[], Other]) -> None:
    first, second = other(), other()
    for _ in range(200):
        first.want("a", "PACS", most=1)
        second.want("a", "PACS", most=1)
        assert sorted((first.got(), second.got())) == [False, True]
        first.give("a")
        second.give("a")
