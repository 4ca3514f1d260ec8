"""The DICOM listener: C-ECHO, C-STORE, Storage Commitment, query and retrieve for every route of the node."""

import errno
import socket
import threading
import time
from contextlib import suppress
from typing import NamedTuple
from uuid import uuid4

import structlog
from pynetdicom import AE
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.audit.trail import AuditTrail
from dicom_node.catalog import Catalog
from dicom_node.config import LiveSettings, Settings
from dicom_node.errors import CatalogError, ReceiveError
from dicom_node.receive.access_record import AccessRecord
from dicom_node.receive.admission import Gatekeeper
from dicom_node.receive.commitment import CommitmentDesk
from dicom_node.receive.gathered import Desk
from dicom_node.receive.holdings import Holdings
from dicom_node.receive.observer import ReceiveObserver
from dicom_node.receive.query import QueryDesk
from dicom_node.receive.reception import Reception
from dicom_node.receive.retrieve import Carry, RetrieveDesk
from dicom_node.receive.spool import Spool
from dicom_node.receive.storage import StorageService
from dicom_node.streaming import Acceptor, Door, listen
from dicom_node.streaming.places import Places
from dicom_node.streaming.shared_places import SharedPlaces
from dicom_node.tls import FreshContext

_log = structlog.get_logger(__name__)

_PORT_POLL_SECONDS = 0.2


class Listener:
    """Receives series.

    Parameters
    ----------
    settings
        The node's settings; ``node`` and ``routes`` are used.
    catalog
        Where received instances are recorded, and open associations, which the listener renews while they last.
    observer
        Told what happens, for metrics.
    ports
        Sockets that listen already, shared with other listeners, which have a spool that is prepared and swept.
        None: the listener opens those of the settings, and is the only one.
    tag
        What the identifiers of this listener's associations begin with, and of no other's; None: it chooses.
    carry
        Sends to the destinations of C-MOVE; None: nothing is moved.
    shared
        What all listeners of the node count together; None: this one counts for itself.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        *,
        observer: ReceiveObserver | None = None,
        ports: "Ports | None" = None,
        tag: str | None = None,
        carry: Carry | None = None,
        shared: "Shared | None" = None,
    ) -> None:
        node = settings.node
        self._ports = ports
        self._settings = settings
        self._catalog = catalog
        self._tag = tag or f"{uuid4().hex[:8]}-"
        self._ended = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="associations", daemon=True)
        self._spool = Spool(node.data_dir, min_free_bytes=node.min_free_mib * 2**20)
        self._live = LiveSettings(settings)
        storage = StorageService(self._live, catalog, spool=self._spool, observer=observer)
        self._gate = Gatekeeper(
            own_ae=node.ae_title,
            also=settings.called_back_at,
            routes=settings.routes,
            disabled=_disabled(settings),
            peers=node.peers,
            tag=self._tag,
        )
        ae = AE(node.ae_title)
        ae.maximum_associations = node.max_associations
        ae.maximum_pdu_size = node.max_pdu_bytes
        ae.acse_timeout = node.acse_timeout_seconds
        ae.dimse_timeout = node.dimse_timeout_seconds
        ae.network_timeout = node.idle_timeout_seconds
        holdings = Holdings(catalog)
        record = AccessRecord(AuditTrail(node.data_dir / "audit", node=node.ae_title, now=catalog.now))
        desks: list[Desk] = [
            CommitmentDesk(self._live, catalog),
            QueryDesk(holdings, record),
            RetrieveDesk(
                self._live,
                holdings,
                record,
                carry=carry,
                places=Places(most_retrievals(settings)) if shared is None else shared.retrievals,
            ),
        ]
        self._reception = Reception(self._gate, catalog, storage=storage, desks=desks, observer=observer)
        self._acceptor = Acceptor(ae, self._reception, places=None if shared is None else shared.associations)

    @property
    def is_listening(self) -> bool:
        """Whether new associations are accepted."""
        return self._acceptor.is_listening

    def take_up(self, settings: Settings) -> None:
        """Serve other routes and peers from now on; associations that are open go on as they were admitted."""
        self._live.put(settings)
        self._gate.change(
            routes=settings.routes,
            also=settings.called_back_at,
            disabled=_disabled(settings),
            peers=settings.node.peers,
        )

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ReceiveError
            ``cannot_listen`` if the address cannot be bound.
        """
        node = self._settings.node
        if self._ports is None:
            prepare_spool(self._spool, several_nodes=self._settings.several_nodes)
        ports = self._ports or open_ports(self._settings)
        encrypted = [] if ports.tls is None else [Door(ports.tls, FreshContext(node.tls))]
        self._acceptor.start(Door(ports.plain), *encrypted)
        self._renewal.start()
        _log.info(
            "listening",
            host=node.host,
            port=node.port,
            tls_port=node.tls.port,
            ae_title=node.ae_title,
            routes=sorted(self._settings.routes),
        )

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """Accept nothing more, give open associations `grace_seconds` to end, then abort them.

        What has been acknowledged is in the catalog; a sender that is aborted knows what has not.
        """
        self._acceptor.stop(grace_seconds=grace_seconds)
        self._ended.set()
        if self._renewal.ident is not None:
            self._renewal.join()
        self._tell_ended()
        self._spool.close()

    def _renew(self) -> None:
        """Keep the records of open associations; those of a listener that died run out, and their series complete."""
        while not self._ended.wait(self._catalog.lease_seconds / 3):
            self._tell_ended()
            with suppress(CatalogError, SQLAlchemyError):  # cannot be written at present; tried again
                self._catalog.renew_associations(self._tag)

    def _tell_ended(self) -> None:
        with suppress(CatalogError, SQLAlchemyError):  # cannot be written at present; tried again
            self._reception.tell_ended()


def _disabled(settings: Settings) -> list[str]:
    return [title for title, route in settings.routes.items() if not route.enabled]


class Shared(NamedTuple):
    """What the listeners of a node count together."""

    associations: SharedPlaces
    retrievals: SharedPlaces

    @classmethod
    def by(cls, settings: Settings) -> "Shared":
        """As many of each as the settings allow."""
        return cls(SharedPlaces(settings.node.max_associations), SharedPlaces(most_retrievals(settings)))

    def close(self) -> None:
        """Nobody takes a place any more."""
        for places in self:
            places.close()


def most_retrievals(settings: Settings) -> int:
    """Retrievals of all peers: one an association at a time, and as many C-MOVE that send their last image after its end."""
    return 2 * settings.node.max_associations


class Ports(NamedTuple):
    """What listens."""

    plain: socket.socket
    tls: socket.socket | None

    def close(self) -> None:
        """Close both."""
        for port in self:
            if port is not None:
                port.close()


def open_ports(settings: Settings, *, patience_seconds: float = 0.0) -> Ports:
    """Listen on the addresses of the settings.

    With ``patience_seconds`` also where it is only about to be free: listeners that lost their node end by themselves.

    Raises
    ------
    ReceiveError
        ``cannot_listen`` if one cannot be bound.
    ConfigError
        ``tls_unusable``
    """
    node = settings.node
    if node.tls.port is None:
        return Ports(_open(node.host, node.port, patience_seconds=patience_seconds), None)
    node.tls.context()  # before anything listens
    plain = _open(node.host, node.port, patience_seconds=patience_seconds)
    try:
        return Ports(plain, _open(node.host, node.tls.port, patience_seconds=patience_seconds))
    except BaseException:
        plain.close()
        raise


def _open(host: str, port: int, *, patience_seconds: float) -> socket.socket:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return listen(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise ReceiveError(
                    "cannot_listen",
                    f"The node cannot listen on {host}:{port}: {error.strerror or error}.",
                    "Stop the other program on that port, or change node.host and node.port.",
                ) from error
        time.sleep(_PORT_POLL_SECONDS)


def prepare_spool(spool: Spool, *, several_nodes: bool = False) -> None:
    """Make the spool's folders and remove what the last run left unfinished there; while nothing is received.

    ``several_nodes``: others may be receiving; what is unfinished then is left to the sweep of orphans.
    """
    spool.prepare()
    removed = 0 if several_nodes else spool.sweep()
    if removed:
        _log.info("unfinished_files_removed", count=removed)
