"""What the node answers to associations: who is let in, and where the objects of each go."""

import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog import Catalog
from dicom_node.errors import CatalogError, ReceiveError
from dicom_node.receive.admission import Admission, Gatekeeper, Rejection
from dicom_node.receive.file_meta import Provenance
from dicom_node.receive.gathered import Desk
from dicom_node.receive.observer import ReceiveObserver
from dicom_node.receive.seats import take_seat
from dicom_node.receive.storage import StorageService
from dicom_node.receive.stored_object import RefusedObject, StoredObject, catalog_unavailable
from dicom_node.streaming import Command, End, Enter, Refusal, Request, Sink
from dicom_node.tls_faults import BrokenHandshake, tls_problem
from s2ldm_core.problem import Problem

_log = structlog.get_logger(__name__)


class Reception:
    """Lets associations in and keeps the catalog's list of them (a `dicom_node.streaming.Service`).

    Parameters
    ----------
    gate
        Decides.
    catalog
        Where associations that store, and peers that were turned away, are listed.
    storage
        Where objects go.
    desks
        Where requests go that are not to store: to the first that takes them.
    observer
        Told who comes and goes.
    """

    def __init__(
        self,
        gate: Gatekeeper,
        catalog: Catalog,
        *,
        storage: StorageService,
        desks: Sequence[Desk],
        observer: ReceiveObserver | None,
    ) -> None:
        self._gate = gate
        self._desks = desks
        self._catalog = catalog
        self._storage = storage
        self._observer = observer
        self._untold: deque[tuple[Admission, End]] = deque()

    def admit(self, request: Request, *, enter: Enter) -> "AdmittedAssociation | Refusal":
        """Let in or turn away, and record it."""
        who = {"called_ae": request.called_ae, "calling_ae": request.calling_ae, "peer": request.peer}
        decision: Admission | Rejection = self._gate.decide(**who)
        if isinstance(decision, Admission):
            decision = take_seat(decision, peers=self._gate.peers, enter=enter) or decision
        if isinstance(decision, Rejection):
            self._note("association_rejected", reason=decision.reason, **who)
            return decision.answer
        if self._observer is not None:
            self._observer.associations(opened=1)
        association = AdmittedAssociation(
            decision,
            self._catalog,
            storage=self._storage,
            desks=self._desks,
            observer=self._observer,
            untold=self._untold,
        )
        if decision.route is not None and request.stores:
            association.record()
        return association

    def tell_ended(self) -> None:
        """Tell the catalog of associations that ended while it could not be told: they stand there as open, and are waited for.

        Raises
        ------
        CatalogError, sqlalchemy.exc.SQLAlchemyError
            It still cannot be told.
        """
        while self._untold:
            admission, how = self._untold[0]
            self._catalog.close_association(admission.id, outcome=how)
            self._untold.popleft()

    def not_secured(self, peer: str, *, error: ssl.SSLError | None, first_byte: int) -> None:
        """Record a connection whose TLS came to nothing; nobody has said yet who calls whom."""
        broken = BrokenHandshake(error=error, first_byte=first_byte)
        reason = tls_problem(broken, who=f"The peer at {peer}")
        self._note("handshake_failed", called_ae="", calling_ae="", peer=peer, reason=reason)

    def _note(self, event: str, *, called_ae: str, calling_ae: str, peer: str, reason: Problem) -> None:
        """Tell the list of those that were turned away, the log and the metrics."""
        who = {"called_ae": called_ae, "calling_ae": calling_ae, "peer": peer}
        with suppress(CatalogError, SQLAlchemyError):  # cannot be written at present; the log has it
            self._catalog.note_rejected_peer(**who, reason=reason)
        _log.warning(event, **who, reason=reason.code)
        if self._observer is not None:
            self._observer.rejected(reason=reason.code)


class AdmittedAssociation:
    """An association that was let in (a `dicom_node.streaming.Session`)."""

    def __init__(
        self,
        admission: Admission,
        catalog: Catalog,
        *,
        storage: StorageService,
        desks: Sequence[Desk],
        observer: ReceiveObserver | None,
        untold: deque[tuple[Admission, End]],
    ) -> None:
        self._untold = untold
        self._admission = admission
        self._desks = desks
        self._catalog = catalog
        self._storage = storage
        self._observer = observer
        self._recorded = False

    def record(self) -> bool:
        """Record that it is open; False if the catalog cannot be written, which the first object tries again."""
        if not self._recorded:
            who = self._admission
            try:
                self._catalog.open_association(
                    who.id, called_ae=who.called_ae, calling_ae=who.calling_ae, peer=who.peer
                )
            except (CatalogError, SQLAlchemyError) as error:
                _log.error("association_not_recorded", route=who.route, error=type(error).__name__)
                return False
            self._recorded = True
        return True

    def begin(self, command: Command, *, transfer_syntax_uid: str) -> Sink:
        """Where the data set that follows `command` goes."""
        provenance = Provenance(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            calling_ae=self._admission.calling_ae,
            called_ae=self._admission.called_ae,
        )
        try:
            file = self._storage.create(provenance, self._admission)
        except ReceiveError as refusal:
            return RefusedObject(self._storage, self._admission, refusal)
        # Before the first instance, so that completion never sees one whose association it does not know.
        if not self.record():
            file.discard()
            return RefusedObject(self._storage, self._admission, catalog_unavailable())
        return StoredObject(self._storage, self._admission, file)

    def serve(self, command: Command, *, transfer_syntax_uid: str) -> Sink | None:
        """Where the data set that follows another request goes."""
        for desk in self._desks:
            sink = desk.begin(command, self._admission, transfer_syntax_uid=transfer_syntax_uid)
            if sink is not None:
                return sink
        return None

    def end(self, how: End) -> None:
        """Record that it is over."""
        try:
            self._catalog.close_association(self._admission.id, outcome=how)
        except (CatalogError, SQLAlchemyError) as error:
            _log.error("association_not_closed", route=self._admission.route, error=type(error).__name__)
            if self._recorded:  # otherwise it does not stand there as open
                self._untold.append((self._admission, how))
        if self._observer is not None:
            self._observer.associations(opened=-1)
