"""How many associations each known peer has open, so that none takes the places of the others."""

import threading
from collections import Counter
from collections.abc import Sequence

from dicom_node.config import Peer
from dicom_node.receive.admission import Admission, Rejection
from dicom_node.streaming import FULL, Enter
from s2ldm_core.problem import Problem


class Seats:
    """Counts open associations by entry of the allow-list. For use from several threads.

    A peer that has one open leaves a place to each other entry that has none, of at most half of all places.

    Parameters
    ----------
    places
        Associations that may be open at the same time, of all peers.
    """

    def __init__(self, places: int) -> None:
        self._most_spare = places // 2
        self._lock = threading.Lock()
        self._open: Counter[tuple[str, str | None]] = Counter()

    def take(self, admission: Admission, *, peers: Sequence[Peer], enter: Enter) -> Rejection | None:
        """Take a place for an association, or say why it gets none; ``peers`` is the allow-list."""
        peer = admission.known
        with self._lock:
            own = 0 if peer is None else self._open[_key(peer)]
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
            others = {_key(one) for one in peers} - ({_key(peer)} if peer is not None else set())
            waited_for = sum(self._open[other] == 0 for other in others) if own else 0
            if not enter(spare=min(waited_for, self._most_spare)):
                return Rejection(
                    answer=FULL,
                    reason=Problem(
                        code="all_places_taken",
                        sentence="As many associations are open as the node takes"
                        + (", but for the places of peers that have none." if waited_for else "."),
                        remedy="The peer may come again when one has ended; raise node.max_associations if that is often so.",
                    ),
                )
            if peer is not None:
                self._open[_key(peer)] += 1
        return None

    def leave(self, admission: Admission) -> None:
        """The association has ended."""
        if admission.known is not None:
            with self._lock:
                self._open[_key(admission.known)] -= 1


def _key(peer: Peer) -> tuple[str, str | None]:
    return peer.ae_title, peer.host
