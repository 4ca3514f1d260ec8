"""A port on which associations are accepted."""

import socket
import threading
import time
from typing import Any, cast

import structlog
from pynetdicom import AE
from pynetdicom.transport import AddressInformation, AssociationServer, RequestHandler

from dicom_node.streaming.association import ReceivingAssociation
from dicom_node.streaming.service import Service
from dicom_node.streaming.transport import ReceivingSocket
from dicom_node.streaming.waiting import IN_ALL, Places, WaitingRoom

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


class Acceptor:
    """Accepts associations, each in threads of its own.

    Parameters
    ----------
    ae
        Our AE title, limits and timeouts. Which called titles are answered is the service's to say.
    service
        Admits associations and takes what they store.
    """

    def __init__(self, ae: AE, service: Service) -> None:
        self._ae = ae
        self._service = service
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_listening(self) -> bool:
        """Whether new associations are accepted."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, port: socket.socket) -> None:
        """Accept associations from `port`, which listens already and may be shared with other processes."""
        self._server = _Server(self._ae, port, service=self._service)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_ACCEPT_POLL_SECONDS,), name="listener", daemon=True
        )
        self._thread.start()

    def stop(self, *, grace_seconds: float) -> None:
        """Accept nothing more, give open associations `grace_seconds` to end, then abort them."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        deadline = time.monotonic() + grace_seconds
        for association in self._ae.active_associations:
            association.join(max(0.0, deadline - time.monotonic()))
        for association in self._ae.active_associations:
            association.abort()
            association.join(grace_seconds)
        self._server = self._thread = None


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

    def __init__(self, ae: AE, port: socket.socket, *, service: Service) -> None:
        self.service = service
        self.waiting, self.places = WaitingRoom(), Places(ae.maximum_associations)
        self._port = port
        # Which presentation contexts are accepted is known when they are proposed.
        # pynetdicom counts connections, silent ones included, and refuses associations beyond; the places are what counts.
        ae.maximum_associations += IN_ALL + _ACCEPTED_AT_ONCE
        super().__init__(ae, port.getsockname(), ae.ae_title, contexts=[], request_handler=_Connection)

    def server_bind(self) -> None:
        """Take the socket that listens already instead of a new one."""
        if self.socket is not None:
            self.socket.close()
        # Another listener may have been quicker to accept: then there is nothing, and nothing to wait for.
        self._port.setblocking(False)
        self.socket = self._port
        self.server_address = self._port.getsockname()

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
