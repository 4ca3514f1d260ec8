"""How many associations each known peer may have open, so that none takes the places of the others."""

from collections.abc import Sequence

from dicom_node.config import Peer
from dicom_node.receive.admission import Admission, Rejection
from dicom_node.streaming import FULL, Enter, Occupancy
from s2ldm_core.problem import Problem


def take_seat(admission: Admission, *, peers: Sequence[Peer], enter: Enter) -> Rejection | None:
    """Take a place for an association, or say why it gets none; ``peers`` is the allow-list.

    A peer has no more than its own limit, and one that has an association open leaves a place to each other entry that
    has none, of at most half of all places.
    """

    def object_to(occupancy: Occupancy) -> Rejection | None:
        return _objection(admission, peers=peers, occupancy=occupancy)

    return enter("" if admission.known is None else party(admission.known), object_to=object_to)


def party(peer: Peer) -> str:
    """What its entry of the allow-list is called where places are counted."""
    # No AE title holds a backslash (PS3.5 table 6.2-1).
    return f"{peer.ae_title}\\{peer.host or ''}"


def _objection(admission: Admission, *, peers: Sequence[Peer], occupancy: Occupancy) -> Rejection | None:
    peer = admission.known
    own = 0 if peer is None else occupancy.of(party(peer))
    if peer is not None and peer.max_associations is not None and own >= peer.max_associations:
        return Rejection(
            answer=FULL,
            reason=Problem(
                code="peer_at_its_limit",
                sentence=f"The peer {admission.calling_ae!r} at {admission.peer} has {own} associations open, "
                "which is all that it may.",
                remedy="It may come again when one has ended; raise its max_associations under node.peers if "
                "it needs more.",
            ),
        )
    others = {party(one) for one in peers} - ({party(peer)} if peer is not None else set())
    waited_for = sum(not occupancy.of(other) for other in others) if own else 0
    if occupancy.left <= min(waited_for, occupancy.count // 2):
        return Rejection(
            answer=FULL,
            reason=Problem(
                code="all_places_taken",
                sentence="As many associations are open as the node takes"
                + (", but for the places of peers that have none." if waited_for else "."),
                remedy="The peer may come again when one has ended; raise node.max_associations if that is often so.",
            ),
        )
    return None
