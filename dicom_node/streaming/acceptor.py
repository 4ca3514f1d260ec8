"""A port on which associations are accepted."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import structlog
from pynetdicom import AE
from pynetdicom.transport import AddressInformation, AssociationServer, RequestHandler

from dicom_node.streaming.association import ReceivingAssociation
from dicom_node.streaming.places import Places
from dicom_node.streaming.service import Service
from dicom_node.streaming.shared_places import SharedPlaces
from dicom_node.streaming.transport import ReceivingSocket
from dicom_node.streaming.waiting import IN_ALL, WaitingRoom

_log = structlog.get_logger(__name__)

_ACCEPT_POLL_SECONDS = 0.2
_BACKLOG = 128
# Connections that have been cut and have not ended yet.
_ACCEPTED_AT_ONCE = 1024


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address; raises OSError if it cannot be bound."""
    address = AddressInformation.from_addr_port(host, port)
    # With SO_REUSEADDR, so that connections of the last run that linger in TIME_WAIT do not hold the port.
    return socket.create_server(address.as_tuple, family=address.address_family, backlog=_BACKLOG)


class Door(NamedTuple):
    """Where associations come in."""

    port: socket.socket
    """Listens already, and may be shared with other processes."""
    tls: Callable[[], ssl.SSLContext] | None = None
    """Gives the context of the next connection; ``None``: in the clear."""


class Acceptor:
    """Accepts associations, each in threads of its own.

    Parameters
    ----------
    ae
        Our AE title, limits and timeouts. Which called titles are answered is the service's to say.
    service
        Admits associations and takes what they store.
    places
        Those of several processes together; None: there are as many as the AE has associations, for this one alone.
    """

    def __init__(self, ae: AE, service: Service, *, places: SharedPlaces | None = None) -> None:
        self._ae = ae
        self._shared = places
        self._service = service
        self._servers: list[_Server] = []
        self._threads: list[threading.Thread] = []

    @property
    def is_listening(self) -> bool:
        """Whether new associations are accepted."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def start(self, *doors: Door) -> None:
        """Accept associations from each of ``doors``; they share the places."""
        waiting, places = WaitingRoom(), self._shared or Places(self._ae.maximum_associations)
        # pynetdicom counts connections, silent ones included, and refuses associations beyond; the places are what counts.
        self._ae.maximum_associations += IN_ALL + _ACCEPTED_AT_ONCE
        for door in doors:
            server = _Server(self._ae, door, service=self._service, waiting=waiting, places=places)
            thread = threading.Thread(
                target=server.serve_forever, args=(_ACCEPT_POLL_SECONDS,), name="listener", daemon=True
            )
            self._servers.append(server)
            self._threads.append(thread)
            thread.start()

    def stop(self, *, grace_seconds: float) -> None:
        """Accept nothing more, give open associations `grace_seconds` to end, then abort them."""
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
        deadline = time.monotonic() + grace_seconds
        for association in self._ae.active_associations:
            association.join(max(0.0, deadline - time.monotonic()))
        for association in self._ae.active_associations:
            association.abort()
            association.join(grace_seconds)
        self._servers, self._threads = [], []


class _Connection(RequestHandler):
    """Makes a `ReceivingAssociation` of an accepted connection."""

    server: "_Server"

    def _create_association(self) -> ReceivingAssociation:
        server = self.server
        association = ReceivingAssociation(
            self.ae, service=server.service, waiting=server.waiting, places=server.places
        )
        association._server = self.server
        association.name = f"association-{self.client_address[0]}:{self.client_address[1]}"
        association.set_socket(ReceivingSocket(association, client_socket=cast(socket.socket, self.request)))
        acceptor = association.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = self.server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        association.requestor.address_info = self.remote
        return association


class _Server(AssociationServer):
    """Accepts connections; each becomes a thread of its own at once, so accepting needs no threads."""

    def __init__(
        self, ae: AE, door: Door, *, service: Service, waiting: WaitingRoom, places: Places | SharedPlaces
    ) -> None:
        self.service = service
        self.waiting, self.places = waiting, places
        self._port, self._tls = door
        # Which presentation contexts are accepted is known when they are proposed.
        super().__init__(ae, door.port.getsockname(), ae.ae_title, contexts=[], request_handler=_Connection)

    def server_bind(self) -> None:
        """Take the socket that listens already instead of a new one."""
        if self.socket is not None:
            self.socket.close()
        # Another listener may have been quicker to accept: then there is nothing, and nothing to wait for.
        self._port.setblocking(False)
        self.socket = self._port
        self.server_address = self._port.getsockname()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """The next connection. TLS shakes hands with the first read, in the association's own thread: a silent peer holds up nobody."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def server_activate(self) -> None:
        """Nothing to do."""

    def server_close(self) -> None:
        """Close the port for this listener; others that share it go on."""
        self._port.close()

    def shutdown(self) -> None:
        """Stop accepting and close the port."""
        # pynetdicom's own also removes the server from a list of the AE that this one never joined.
        super(AssociationServer, self).shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong with a connection; the others go on."""
        _log.exception("connection_failed", peer=client_address[0])
