"""Speaking to a peer as Service Class User: C-ECHO and C-STORE (PS3.7 9.3.1, 9.3.5)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicom_node.deliver.status import Verdict, status_sentence, verdict
from dicom_node.errors import DeliverError, RetriableDeliverError

#: Largest PDU offered to the peer, in bytes; what we send is cut to what the peer offers.
MAX_PDU_BYTES = 262_144
#: An association carries at most 128 presentation contexts (PS3.8 9.3.2.2: odd numbers 1 to 255).
_MAX_CONTEXTS = 128
_TRANSIENT_REJECTION = 0x02


class Peer(Protocol):
    """A destination, as in the configuration."""

    @property
    def ae_title(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def connect_timeout_seconds(self) -> float: ...

    @property
    def response_timeout_seconds(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class SendStatus:
    """The peer's answer for one file; ``status`` is None when no answer came or none could be asked for."""

    path: Path
    sop_instance_uid: str
    status: int | None
    verdict: Verdict
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class _Outgoing:
    path: Path
    sop_class_uid: UID
    sop_instance_uid: str
    transfer_syntax_uid: UID

    @property
    def syntaxes(self) -> tuple[UID, ...]:
        """What to offer: a compressed object as it is, an uncompressed one also in the default syntax (PS3.5 10.1)."""
        if self.transfer_syntax_uid.is_compressed:
            return (self.transfer_syntax_uid,)
        return tuple(dict.fromkeys([self.transfer_syntax_uid, ExplicitVRLittleEndian, ImplicitVRLittleEndian]))


def echo(destination: Peer, *, calling_ae: str) -> None:
    """Verify a destination with C-ECHO.

    Raises
    ------
    DeliverError
        With the reason; ``RetriableDeliverError`` when it may pass.
    """
    with _association(destination, calling_ae=calling_ae, contexts=[(Verification, (ImplicitVRLittleEndian,))]) as peer:
        response = peer.send_c_echo()
        status = response.get("Status")
        if status is None:
            raise _no_answer(destination)
        if status != 0x0000:
            raise DeliverError(
                "echo_refused",
                f"{_name(destination)} answered C-ECHO with status 0x{status:04X}.",
                "Ask its administrator.",
            )


def send_files(
    paths: Sequence[Path],
    destination: Peer,
    *,
    calling_ae: str,
    on_status: Callable[[SendStatus], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[SendStatus]:
    """Store DICOM files at a destination over one association.

    Goes on after an object that the peer refuses for good; stops at the first failure that may pass, as the rest would
    most likely meet it too.

    Parameters
    ----------
    on_status
        Called after every answer, in order, before the next object is sent.
    should_stop
        Asked before every object; true ends the association in order.

    Returns
    -------
    list of SendStatus
        For every object that was tried; shorter than ``paths`` when sending stopped.

    Raises
    ------
    DeliverError
        No association: ``RetriableDeliverError`` for no connection, timeout and transient rejection.
    """
    outgoing = [_read_meta(path) for path in paths]
    if not outgoing:
        return []
    contexts = list(dict.fromkeys((one.sop_class_uid, one.syntaxes) for one in outgoing))
    if len(contexts) > _MAX_CONTEXTS:
        raise DeliverError(
            "too_many_contexts",
            f"The files hold {len(contexts)} kinds of objects, more than one association can carry.",
            "Send fewer files at a time.",
        )
    report = on_status or (lambda _: None)
    sent: list[SendStatus] = []
    with _association(destination, calling_ae=calling_ae, contexts=contexts) as peer:
        for one in outgoing:
            if should_stop is not None and should_stop():
                break
            answer = _send(peer, one, destination)
            sent.append(answer)
            report(answer)
            if answer.verdict is Verdict.RETRIABLE:
                break
    return sent


def _send(peer: Association, one: _Outgoing, destination: Peer) -> SendStatus:
    def answer(status: int | None, judged: Verdict, comment: str = "") -> SendStatus:
        return SendStatus(
            path=one.path, sop_instance_uid=one.sop_instance_uid, status=status, verdict=judged, comment=comment
        )

    accepted = {
        syntax
        for context in peer.accepted_contexts
        if context.abstract_syntax == one.sop_class_uid
        for syntax in context.transfer_syntax
    }
    if not accepted.intersection(one.syntaxes):
        return answer(
            None,
            Verdict.PERMANENT,
            f"{_name(destination)} does not take {one.sop_class_uid.name} as {one.transfer_syntax_uid.name}",
        )
    if not peer.is_established:
        return answer(None, Verdict.RETRIABLE, f"{_name(destination)} ended the association")
    dataset = dcmread(one.path)
    if not dataset.get("SOPInstanceUID") or not dataset.get("SOPClassUID"):
        return answer(None, Verdict.PERMANENT, f"The file {one.path.name} has no SOP Instance or SOP Class UID")
    try:
        response = peer.send_c_store(dataset)
    except RuntimeError:  # the association ended between the check and the request
        return answer(None, Verdict.RETRIABLE, f"{_name(destination)} ended the association")
    except (ValueError, AttributeError) as error:  # it cannot be encoded for this peer
        return answer(None, Verdict.PERMANENT, f"The file {one.path.name} cannot be sent ({type(error).__name__})")
    status = response.get("Status")
    if status is None:
        return answer(None, Verdict.RETRIABLE, f"{_name(destination)} did not answer")
    judged = verdict(status)
    comment = str(response.get("ErrorComment", "") or "")
    if judged is not Verdict.ACCEPTED:
        comment = f"{_name(destination)} {status_sentence(status)}" + (f": {comment}" if comment else "")
    return answer(status, judged, comment)


@contextmanager
def _association(
    destination: Peer, *, calling_ae: str, contexts: Sequence[tuple[UID, tuple[UID, ...]]]
) -> Iterator[Association]:
    """An established association, released at the end (aborted after an error)."""
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
    association = entity.associate(
        destination.host,
        destination.port,
        ae_title=destination.ae_title,
        max_pdu=MAX_PDU_BYTES,
        evt_handlers=[(evt.EVT_CONN_OPEN, _tune, [connected, destination.response_timeout_seconds])],
    )
    if not association.is_established:
        raise _not_established(association, destination, connected=connected.is_set())
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def _tune(event: Event, connected: threading.Event, timeout_seconds: float) -> None:
    """Prepare a new connection: note it, send at once, and do not wait for ever for a peer that stops reading.

    With Nagle's algorithm on, delayed acknowledgements cost some 40 ms an object.
    """
    connected.set()
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.socket.settimeout(timeout_seconds)


def _not_established(association: Association, destination: Peer, *, connected: bool) -> DeliverError:
    where = _name(destination)
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


def _no_answer(destination: Peer) -> RetriableDeliverError:
    return RetriableDeliverError("no_answer", f"{_name(destination)} did not answer in time.", "Check that it is well.")


def _name(destination: Peer) -> str:
    return f"The peer {destination.ae_title}"


def _read_meta(path: Path) -> _Outgoing:
    """File meta information (PS3.10 7.1) of a file to send."""
    try:
        meta = read_file_meta_info(path)
        return _Outgoing(
            path=path,
            sop_class_uid=UID(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=UID(meta.TransferSyntaxUID),
        )
    except (InvalidDicomError, OSError, AttributeError, EOFError) as error:
        raise DeliverError(
            "file_unreadable",
            f"The file {path.name} cannot be sent: it is missing or not a DICOM file ({type(error).__name__}).",
            "Send DICOM files only.",
        ) from error
