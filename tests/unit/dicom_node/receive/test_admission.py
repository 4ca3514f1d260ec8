"""Who may open an association, and for what."""

from typing import Any

import pytest

from dicom_node.config import Peer
from dicom_node.receive.admission import (
    REJECT_CALLED,
    REJECT_CALLING,
    Admission,
    Gatekeeper,
    Rejection,
)


def decide(
    *, called: str = "CECT_ART", calling: str = "SCANNER", peer: str = "10.0.0.7", peers: tuple[Peer, ...] = ()
) -> Any:
    gate = Gatekeeper(own_ae="S2LDM", routes=["CECT_ART", "CECT_VEN"], peers=peers)
    return gate.decide(called_ae=called, calling_ae=calling, peer=peer)


def test_a_route_is_let_in() -> None:
    decision = decide()
    assert isinstance(decision, Admission)
    assert decision.route == "CECT_ART"


def test_the_nodes_own_title_is_let_in_without_a_route() -> None:
    decision = decide(called="S2LDM")
    assert isinstance(decision, Admission)
    assert decision.route is None


def test_an_unknown_title_is_turned_away_with_the_nearest_route() -> None:
    decision = decide(called="CECT_ARTT")
    assert isinstance(decision, Rejection)
    assert decision.answer == REJECT_CALLED
    assert decision.reason.code == "called_ae_unknown"
    assert "'CECT_ART'" in decision.reason.sentence


def test_a_title_is_matched_with_its_case() -> None:
    assert isinstance(decide(called="cect_art"), Rejection)


@pytest.mark.parametrize(
    ("known", "admitted"),
    [
        (Peer(ae_title="SCANNER", host="10.0.0.7"), True),
        (Peer(ae_title="SCANNER", host=None), True),
        (Peer(ae_title="SCANNER", host="10.0.0.8"), False),
        (Peer(ae_title="OTHER", host="10.0.0.7"), False),
        (Peer(ae_title="SCANNER", host="no-such-host.invalid"), False),
    ],
)
def test_the_allow_list_asks_for_title_and_host(known: Peer, admitted: bool) -> None:
    decision = decide(peers=(known,))
    if admitted:
        assert isinstance(decision, Admission)
    else:
        assert isinstance(decision, Rejection)
        assert decision.answer == REJECT_CALLING


def test_an_ipv4_peer_on_an_ipv6_socket_is_recognised() -> None:
    assert isinstance(decide(peer="::ffff:10.0.0.7", peers=(Peer(ae_title="SCANNER", host="10.0.0.7"),)), Admission)


def test_disabled_route_turns_away_for_now_and_takes_associations_again() -> None:
    gate = Gatekeeper(own_ae="S2LDM", routes=["CECT_ART"], peers=[], disabled=["CECT_ART"])
    who = {"called_ae": "CECT_ART", "calling_ae": "PACS", "peer": "10.0.0.5"}

    turned_away = gate.decide(**who)
    assert isinstance(turned_away, Rejection)
    assert (turned_away.answer.result, turned_away.reason.code) == (0x02, "route_disabled")

    gate.change(routes=["CECT_ART"], peers=[])
    assert isinstance(gate.decide(**who), Admission)
