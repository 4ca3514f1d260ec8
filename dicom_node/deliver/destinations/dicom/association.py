"""Associations with a destination: asked for, tuned, ended in order, and their failures explained (PS3.8 7.1)."""

import socket
import ssl
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from pydicom.uid import UID
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from dicom_node.deliver.destinations.dicom.destination import DicomSettings
from dicom_node.errors import ConfigError, DeliverError, RetriableDeliverError
from dicom_node.tls_faults import BrokenHandshake, tls_problem

#: Largest PDU offered to the peer, in bytes; what we send is cut to what the peer offers.
MAX_PDU_BYTES = 262_144
_TRANSIENT_REJECTION = 0x02


@contextmanager
def open_association(
    destination: DicomSettings,
    *,
    calling_ae: str,
    contexts: Sequence[tuple[UID, tuple[UID, ...]]],
    as_provider: Collection[UID] = (),
) -> Iterator[Association]:
    """An established association, released at the end (aborted after an error).

    ``as_provider``: SOP classes of which the node is the Service Class Provider there (role selection, PS3.7 D.3.3.4).
    """
    entity = AE(ae_title=calling_ae)
    entity.connection_timeout = destination.connect_timeout_seconds
    entity.acse_timeout = destination.response_timeout_seconds
    entity.dimse_timeout = destination.response_timeout_seconds
    # Silence between our own requests is ours to end; the peer's answer has the timeout above.
    entity.network_timeout = None
    entity.maximum_pdu_size = MAX_PDU_BYTES
    for abstract_syntax, syntaxes in contexts:
        entity.add_requested_context(abstract_syntax, list(syntaxes))
    connected = threading.Event()
    tls = _tls(destination)
    association = entity.associate(
        destination.host,
        destination.port,
        ae_title=destination.ae_title,
        max_pdu=MAX_PDU_BYTES,
        ext_neg=[build_role(one, scp_role=True) for one in as_provider],
        tls_args=None if tls is None else (cast(ssl.SSLContext, tls), tls.name),
        evt_handlers=[(evt.EVT_CONN_OPEN, _tune, [connected, destination.response_timeout_seconds])],
    )
    if not association.is_established:
        if tls is not None:
            tls.close()
        if tls is not None and tls.fault is not None:
            raise _insecure(tls.fault, destination)
        raise _not_established(association, destination, connected=connected.is_set())
    _leave_answers_to_the_sender(association)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


class _Tls:
    """A context as pynetdicom uses it. It forgets a socket whose handshake failed without closing it, and why it failed."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self.name = name
        self._context = context
        self._sockets: list[_TlsSocket] = []
        context.sslsocket_class = _TlsSocket

    @property
    def fault(self) -> OSError | None:
        """Why a handshake failed."""
        return next((one.fault for one in self._sockets if one.fault is not None), None)

    def wrap_socket(self, connection: socket.socket, **options: Any) -> ssl.SSLSocket:
        """As `ssl.SSLContext.wrap_socket`."""
        self._sockets.append(cast(_TlsSocket, self._context.wrap_socket(connection, **options)))
        return self._sockets[-1]

    def close(self) -> None:
        """Close what was opened."""
        for connection in self._sockets:
            connection.close()


class _TlsSocket(ssl.SSLSocket):
    """Keeps what went wrong with its handshake."""

    fault: OSError | None = None

    def do_handshake(self, block: bool = False) -> None:
        """As `ssl.SSLSocket.do_handshake`."""
        try:
            super().do_handshake(block)
        except OSError as error:
            self.fault = error
            raise


def _tls(destination: DicomSettings) -> _Tls | None:
    if destination.tls is None:
        return None
    try:
        return _Tls(destination.tls.context(), destination.tls.server_name or destination.host)
    except ConfigError as error:
        raise RetriableDeliverError(error.code, error.sentence, error.remedy) from error


def _leave_answers_to_the_sender(association: Association) -> None:
    """Keep pynetdicom's reactor thread from taking an answer that the sending thread waits for.

    The sending thread pauses the reactor first, but takes it for paused as well in the moment it wakes up; the reactor then finds the
    answer, drops it as an unexpected message, and the sender waits in vain until its timeout. The reactor looks for requests of the
    peer, without blocking; as a mere Service Class User we serve none.
    """
    take = association.dimse.get_msg

    def take_when_awaited(block: bool = False) -> tuple[Any, Any]:
        return take(block=True) if block else (None, None)

    association.dimse.get_msg = take_when_awaited  # type: ignore[method-assign]


def _tune(event: Event, connected: threading.Event, timeout_seconds: float) -> None:
    """Prepare a new connection: note it, send at once, and do not wait for ever for a peer that stops reading.

    With Nagle's algorithm on, delayed acknowledgements cost some 40 ms an object.
    """
    connected.set()
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.socket.settimeout(timeout_seconds)


def _insecure(fault: OSError, destination: DicomSettings) -> RetriableDeliverError:
    """The error of a peer with which TLS came to nothing: certificates are renewed, and clocks set."""
    said = fault if isinstance(fault, ssl.SSLError) else None
    problem = tls_problem(BrokenHandshake(error=said), who=name_of(destination))
    return RetriableDeliverError(problem.code, problem.sentence, problem.remedy)


def _not_established(association: Association, destination: DicomSettings, *, connected: bool) -> DeliverError:
    where = name_of(destination)
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = getattr(answer, "reason_str", "") or "no reason given"
        if getattr(answer, "result", None) == _TRANSIENT_REJECTION:
            return RetriableDeliverError(
                "association_rejected_for_now", f"{where} rejects associations for now: {reason}."
            )
        return DeliverError(
            "association_rejected",
            f"{where} rejected the association: {reason}.",
            "Check the AE titles, and that this node is registered there as a peer.",
        )
    if association.acceptor.primitive is not None and not association.accepted_contexts and not association.is_aborted:
        return DeliverError(
            "no_context", f"{where} takes none of the objects offered.", "Check its accepted SOP classes."
        )
    if association.is_aborted and association.rejected_contexts and not association.accepted_contexts:
        return DeliverError(
            "no_context",
            f"{where} takes none of the objects offered.",
            "Enable the SOP class there, or choose another output form for the route.",
        )
    if connected:
        return RetriableDeliverError(
            "no_association",
            f"{where} took the connection but ended it, or did not answer the association request in time.",
            "Check that a DICOM service listens on that port, and its log.",
        )
    return RetriableDeliverError(
        "no_connection",
        f"{where} could not be reached at {destination.host}:{destination.port}.",
        "Check that it is running, its host and port, and the firewall.",
    )


def no_answer(destination: DicomSettings) -> RetriableDeliverError:
    """The error of a peer that leaves a request unanswered."""
    return RetriableDeliverError(
        "no_answer", f"{name_of(destination)} did not answer in time.", "Check that it is well."
    )


def name_of(destination: DicomSettings) -> str:
    """What sentences call the peer."""
    return f"The peer {destination.ae_title}"
