"""The DICOM listener: C-ECHO and C-STORE for every route of the node."""

import socket
import threading
import time
from typing import Any, cast

import structlog
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AddressInformation, AssociationServer, RequestHandler

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.errors import ReceiveError
from dicom_node.receive.admission import Gatekeeper, Rejection, asks_to_store, supported_contexts
from dicom_node.receive.association import ReceivingAssociation
from dicom_node.receive.spool import Spool
from dicom_node.receive.storage import ReceiveObserver, StorageService
from dicom_node.receive.transport import ReceivingSocket

_log = structlog.get_logger(__name__)

_ACCEPT_POLL_SECONDS = 0.2
_BACKLOG = 128


class Listener:
    """Receives series.

    Parameters
    ----------
    settings
        The node's settings; ``node`` and ``routes`` are used.
    catalog
        Where received instances are recorded; associations that the last run left open have been closed there.
    observer
        Told what happens, for metrics.
    port
        A socket that listens already, shared with other listeners, which have a spool that is prepared and swept.
        None: the listener opens the port of the settings, and is the only one.
    tag
        What the identifiers of this listener's associations begin with.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        *,
        observer: ReceiveObserver | None = None,
        port: socket.socket | None = None,
        tag: str = "",
    ) -> None:
        node = settings.node
        self._port = port
        self._settings = settings
        self._catalog = catalog
        self._observer = observer
        self._spool = Spool(node.data_dir, min_free_bytes=node.min_free_mib * 2**20)
        self._storage = StorageService(settings, catalog, spool=self._spool, observer=observer)
        self._gate = Gatekeeper(own_ae=node.ae_title, routes=settings.routes, peers=node.peers, tag=tag)
        self._ae = AE(node.ae_title)
        self._ae.maximum_associations = node.max_associations
        self._ae.maximum_pdu_size = node.max_pdu_bytes
        self._ae.acse_timeout = node.acse_timeout_seconds
        self._ae.dimse_timeout = node.dimse_timeout_seconds
        self._ae.network_timeout = node.idle_timeout_seconds
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_listening(self) -> bool:
        """Whether new associations are accepted."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ReceiveError
            ``cannot_listen`` if the address cannot be bound.
        """
        node = self._settings.node
        if self._port is None:
            prepare_spool(self._spool)
        port = self._port or open_port(self._settings)
        self._server = _Server(self._ae, port, listener=self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_ACCEPT_POLL_SECONDS,), name="listener", daemon=True
        )
        self._thread.start()
        _log.info(
            "listening", host=node.host, port=node.port, ae_title=node.ae_title, routes=sorted(self._settings.routes)
        )

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """Accept nothing more, give open associations `grace_seconds` to end, then abort them.

        What has been acknowledged is in the catalog; a sender that is aborted knows what has not.
        """
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
        self._spool.close()
        self._server = self._thread = None

    def new_association(self) -> ReceivingAssociation:
        """An association for a connection that was just accepted."""
        association = ReceivingAssociation(self._ae, store=self._storage, on_end=self._ended)
        association.bind(evt.EVT_REQUESTED, self._requested)
        return association

    def _requested(self, event: evt.Event) -> None:
        association = cast(ReceivingAssociation, event.assoc)
        request = cast(A_ASSOCIATE, association.requestor.primitive)
        called_ae, calling_ae = request.called_ae_title.strip(), request.calling_ae_title.strip()
        peer = association.requestor.address
        decision = self._gate.decide(called_ae=called_ae, calling_ae=calling_ae, peer=peer)
        if isinstance(decision, Rejection):
            reason = decision.reason
            self._catalog.note_rejected_peer(calling_ae=calling_ae, called_ae=called_ae, peer=peer, reason=reason)
            association.acse.send_reject(*decision.answer)
            # Returns when the answer has left and the connection is closed.
            association.kill()
            _log.warning(
                "association_rejected", calling_ae=calling_ae, called_ae=called_ae, peer=peer, reason=reason.code
            )
            if self._observer is not None:
                self._observer.rejected(reason=reason.code)
            return
        proposed = request.presentation_context_definition_list
        association.acceptor.supported_contexts = supported_contexts(proposed)
        if decision.route is not None and asks_to_store(proposed):
            # Before the first instance, so that completion never sees one whose association it does not know.
            self._catalog.open_association(decision.id, called_ae=called_ae, calling_ae=calling_ae, peer=peer)
        association.admission = decision
        if self._observer is not None:
            self._observer.associations(opened=1)

    def _ended(self, association: ReceivingAssociation) -> None:
        if association.admission is None:
            return
        outcome = "lost" if association.connection_lost else "released" if association.is_released else "aborted"
        self._catalog.close_association(association.admission.id, outcome=outcome)
        if self._observer is not None:
            self._observer.associations(opened=-1)


def open_port(settings: Settings) -> socket.socket:
    """Listen on the address of the settings.

    Raises
    ------
    ReceiveError
        ``cannot_listen`` if it cannot be bound.
    """
    node = settings.node
    try:
        address = AddressInformation.from_addr_port(node.host, node.port)
        # With SO_REUSEADDR, so that connections of the last run that linger in TIME_WAIT do not hold the port.
        return socket.create_server(address.as_tuple, family=address.address_family, backlog=_BACKLOG)
    except OSError as error:
        raise ReceiveError(
            "cannot_listen",
            f"The node cannot listen on {node.host}:{node.port}: {error.strerror or error}.",
            "Stop the other program on that port, or change node.host and node.port.",
        ) from error


def prepare_spool(spool: Spool) -> None:
    """Make the spool's folders and remove what the last run left unfinished there; while nothing is received."""
    spool.prepare()
    removed = spool.sweep()
    if removed:
        _log.info("unfinished_files_removed", count=removed)


class _Connection(RequestHandler):
    """Makes a `ReceivingAssociation` of an accepted connection."""

    server: "_Server"

    def _create_association(self) -> ReceivingAssociation:
        association = self.server.listener.new_association()
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

    def __init__(self, ae: AE, port: socket.socket, *, listener: Listener) -> None:
        self.listener = listener
        self._port = port
        contexts: list[PresentationContext] = [build_context(Verification)]
        super().__init__(ae, port.getsockname(), ae.ae_title, contexts, request_handler=_Connection)

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
