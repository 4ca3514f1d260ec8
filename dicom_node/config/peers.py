"""Letting one more peer send, as a change of the configuration."""

from typing import Any

from dicom_node.config.peer import Peer
from dicom_node.config.settings import Settings
from dicom_node.errors import ConfigError


def allowed(settings: Settings, ae_title: str, host: str | None) -> dict[tuple[str, ...], Any]:
    """The change that lets a peer send.

    Raises
    ------
    ConfigError
        ``peers_open``: anybody may, and a first entry would shut everybody else out. ``peer_known``: it may already.
    """
    peers = settings.node.peers
    if not peers:
        raise ConfigError(
            "peers_open",
            "Anybody may send: node.peers is empty, and a first entry would shut out everybody else.",
            "List all who may send under node.peers first.",
        )
    if any((one.ae_title, one.host) == (ae_title, host) for one in peers):
        raise ConfigError("peer_known", f"{ae_title} at {host or 'any address'} may send already.")
    return {
        ("node", "peers"): [*(_plain(one) for one in peers), _plain(Peer.model_construct(ae_title=ae_title, host=host))]
    }


def _plain(peer: Peer) -> dict[str, Any]:
    return peer.model_dump(mode="json", exclude_defaults=True)
