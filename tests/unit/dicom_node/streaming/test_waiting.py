"""Who waits, and who is cut."""

from dicom_node.streaming.waiting import WaitingRoom


class One:
    def __init__(self) -> None:
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True


def fill(room: WaitingRoom, address: str, count: int) -> list[One]:
    ones = [One() for _ in range(count)]
    for one in ones:
        room.enter(one, address)
    return ones


def test_oldest_of_a_crowded_address_is_cut_and_no_other() -> None:
    room = WaitingRoom(per_address=2, in_all=100)
    other = fill(room, "10.0.0.1", 2)
    crowd = fill(room, "10.0.0.2", 3)

    assert [one.is_cut for one in crowd] == [True, False, False]
    assert not any(one.is_cut for one in other)


def test_where_all_are_too_many_the_address_with_most_loses_its_oldest() -> None:
    room = WaitingRoom(per_address=3, in_all=4)
    few, most = fill(room, "10.0.0.1", 1), fill(room, "10.0.0.2", 3)
    (last,) = fill(room, "10.0.0.3", 1)

    assert [one.is_cut for one in (*few, *most, last)] == [False, True, False, False, False]


def test_whoever_has_left_does_not_count() -> None:
    room = WaitingRoom(per_address=2, in_all=100)
    (first, second) = fill(room, "10.0.0.1", 2)
    room.leave(first)
    fill(room, "10.0.0.1", 1)

    assert not second.is_cut
