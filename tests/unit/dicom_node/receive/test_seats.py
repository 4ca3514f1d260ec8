"""How many associations each peer may have, and what is left to the others."""

from functools import partial

import pytest

from dicom_node.config import Peer
from dicom_node.receive.admission import Admission, Gatekeeper, Rejection
from dicom_node.receive.seats import take_seat
from dicom_node.streaming import FULL
from dicom_node.streaming.places import Places

SCANNER = Peer(ae_title="SCANNER", max_associations=2)
PACS, ROUTER = Peer(ae_title="PACS"), Peer(ae_title="ROUTER")


class Door:
    """Whoever comes."""

    def __init__(self, *peers: Peer, places: int) -> None:
        self.gate = Gatekeeper(own_ae="S2LDM", routes=["CECT_ART"], peers=peers)
        self.places = Places(places)

    def come(self, calling_ae: str) -> Admission | Rejection:
        found = self.gate.decide(called_ae="CECT_ART", calling_ae=calling_ae, peer="10.0.0.7")
        assert isinstance(found, Admission)
        return take_seat(found, peers=self.gate.peers, enter=partial(self.places.take, found)) or found

    def go(self, one: Admission | Rejection) -> None:
        assert isinstance(one, Admission)
        self.places.give(one)


def refused(one: Admission | Rejection) -> str | None:
    return one.reason.code if isinstance(one, Rejection) else None


def test_a_peer_has_no_more_than_its_own_limit_until_one_ends() -> None:
    door = Door(SCANNER, PACS, places=10)
    first, second, third = (door.come("SCANNER") for _ in range(3))

    assert [refused(one) for one in (first, second, third)] == [None, None, "peer_at_its_limit"]
    assert third.answer == FULL  # PS3.8 table 9-21: for now, local limit exceeded
    assert refused(door.come("PACS")) is None
    door.go(first)
    assert refused(door.come("SCANNER")) is None


def test_a_peer_that_takes_all_it_can_leaves_a_place_to_each_of_the_others() -> None:
    door = Door(SCANNER, PACS, ROUTER, places=6)
    taken = [refused(door.come("PACS")) for _ in range(6)]

    assert taken == [None] * 4 + ["all_places_taken"] * 2
    assert [refused(door.come(one)) for one in ("SCANNER", "ROUTER")] == [None, None]


@pytest.mark.parametrize("places", [1, 3])
def test_reserved_places_are_half_at_most(places: int) -> None:
    door = Door(PACS, *(Peer(ae_title=f"P{number}") for number in range(9)), places=places)

    assert [refused(door.come("PACS")) for _ in range(places)].count(None) == places - places // 2


def test_where_anybody_may_send_all_places_are_taken_in_turn() -> None:
    door = Door(places=2)

    assert [refused(door.come("ANY")) for _ in range(3)] == [None, None, "all_places_taken"]
