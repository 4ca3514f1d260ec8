"""Who may open an association, and for what."""

import difflib
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from uuid import uuid4

from dicom_node.config import Peer
from dicom_node.streaming import Refusal
from s2ldm_core.problem import Problem

# PS3.8 table 9-21: rejected for good by the service user; called, calling AE title not recognised.
REJECT_CALLED = Refusal(result=0x01, source=0x01, reason=0x07)
# 0x02: for now; the sender may come again.
REJECT_FOR_NOW = Refusal(result=0x02, source=0x01, reason=0x01)
REJECT_CALLING = Refusal(result=0x01, source=0x01, reason=0x03)


@dataclass(frozen=True, kw_only=True)
class Admission:
    """An association that was let in.

    ``route`` is the called AE title if it is a route, None for our own AE title, which takes no objects.
    ``id`` names the association in the catalog; it begins with the tag of the listener that let it in.
    ``known`` is the entry of the allow-list that it came by.
    """

    route: str | None
    called_ae: str
    calling_ae: str
    peer: str
    id: str
    known: Peer | None = None

    @property
    def shard(self) -> str:
        """The folder of the spool that its objects go to: two hexadecimal digits."""
        return self.id[-2:]


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """An association that was turned away: the answer to the peer and the reason for the administrator."""

    answer: Refusal
    reason: Problem


class Gatekeeper:
    """Decides on associations.

    Parameters
    ----------
    own_ae
        Our AE title; it is answered for C-ECHO and Storage Commitment.
    also
        Other AE titles that are answered so: those by which the node calls, and so is called back.
    routes
        The called AE titles that are routes.
    disabled
        Those of them that take nothing at present.
    peers
        The allow-list; empty lets any peer in.
    tag
        What the identifiers of associations begin with.
    """

    def __init__(
        self,
        *,
        own_ae: str,
        routes: Collection[str],
        peers: Sequence[Peer],
        disabled: Collection[str] = (),
        also: Collection[str] = (),
        tag: str = "",
    ) -> None:
        self._tag = tag
        self._own_ae = own_ae
        self.change(routes=routes, peers=peers, disabled=disabled, also=also)

    def change(
        self,
        *,
        routes: Collection[str],
        peers: Sequence[Peer],
        disabled: Collection[str] = (),
        also: Collection[str] = (),
    ) -> None:
        """Decide by other lists from now on; whoever was let in stays."""
        self._lists = (frozenset(routes), tuple(peers), frozenset(disabled), frozenset(also))

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The allow-list."""
        return self._lists[1]

    def decide(self, *, called_ae: str, calling_ae: str, peer: str) -> Admission | Rejection:
        """Let in or turn away; AE titles without padding, `peer` an IP address."""
        routes, peers, disabled, also = self._lists  # at once: they may be changed meanwhile
        if called_ae not in routes and called_ae != self._own_ae and called_ae not in also:
            near = difflib.get_close_matches(called_ae.upper(), sorted(routes), n=1)
            return Rejection(
                answer=REJECT_CALLED,
                reason=Problem(
                    code="called_ae_unknown",
                    sentence=f"The peer called the AE title {called_ae!r}, which is no route of this node"
                    + (f"; the nearest route is {near[0]!r}." if near else "."),
                    remedy="Correct the AE title in the sending system's destination, or add a route of that name.",
                ),
            )
        known = next((one for one in peers if is_peer(one, calling_ae, peer)), None)
        if peers and known is None:
            return Rejection(
                answer=REJECT_CALLING,
                reason=Problem(
                    code="peer_not_allowed",
                    sentence=f"The peer {calling_ae!r} at {peer} is not on the list of peers that may send.",
                    remedy="Add its AE title and host under node.peers if it should be served.",
                ),
            )
        if called_ae in disabled:
            return Rejection(
                answer=REJECT_FOR_NOW,
                reason=Problem(
                    code="route_disabled",
                    sentence=f"The route {called_ae!r} is disabled.",
                    remedy=f"Enable it with: s2ldm-node routes enable {called_ae}",
                ),
            )
        route = called_ae if called_ae in routes else None
        return Admission(
            id=self._tag + uuid4().hex,
            route=route,
            called_ae=called_ae,
            calling_ae=calling_ae,
            peer=peer,
            known=known,
        )


def is_peer(known: Peer, calling_ae: str, address: str) -> bool:
    """Whether who calls is the peer of an entry of the allow-list."""
    return known.ae_title == calling_ae and (known.host is None or _canonical(address) in _addresses(known.host))


def _addresses(host: str) -> set[str]:
    try:
        return {_canonical(host)}
    except ValueError:
        pass
    try:
        return {_canonical(str(entry[4][0])) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        # A name that does not resolve now lets nobody in.
        return set()


def _canonical(address: str) -> str:
    parsed = ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)
