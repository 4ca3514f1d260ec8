"""The presentation contexts that are accepted: storage of any class and syntax, Verification, Storage Commitment, query and retrieve."""

from collections.abc import Collection, Sequence

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass, StorageServiceClass, VerificationServiceClass
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
    uid_to_service_class,
)

# What is decoded here, and so may not be compressed.
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
#: Queries and retrievals (PS3.4 C.4, C.6).
_QUERY_RETRIEVE = frozenset(
    {
        PatientRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelMove,
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
    }
)


def supported_contexts(
    proposed: Sequence[PresentationContext], *, pulled: Collection[str] = ()
) -> list[PresentationContext]:
    """The presentation contexts to support, given those that the peer proposes.

    Every storage SOP class, private and unknown ones included, with every transfer syntax, the peer's order of
    preference kept; Verification; and Storage Commitment, in which the peer may ask, or report as a Service Class
    Provider that was asked before (PS3.4 J.3.3, role selection by PS3.7 D.3.3.4); and queries and retrievals. Nothing
    else is stored here, and what cannot be decoded is refused with a reason when the series is looked at, not hidden in a
    failed negotiation.

    ``pulled`` are the storage SOP classes of which the peer would be the Service Class Provider, for C-GET (PS3.4 C.5.3):
    what derived series are written in comes first there.
    """
    syntaxes: dict[UID, dict[UID, None]] = {}
    for context in proposed:
        if context.abstract_syntax is not None and _is_served(context.abstract_syntax):
            syntaxes.setdefault(context.abstract_syntax, {}).update(dict.fromkeys(context.transfer_syntax))
    supported = []
    for abstract_syntax, transfer_syntaxes in syntaxes.items():
        context = PresentationContext()
        context.abstract_syntax = abstract_syntax
        context.transfer_syntax = list(transfer_syntaxes)
        if has_requests(abstract_syntax):
            context.transfer_syntax = [one for one in transfer_syntaxes if one in _PLAIN] or list(_PLAIN)
        elif abstract_syntax in pulled:
            plain = [one for one in _PLAIN if one in transfer_syntaxes]
            context.transfer_syntax = [*plain, *(one for one in transfer_syntaxes if one not in plain)]
        if abstract_syntax == StorageCommitmentPushModel or abstract_syntax in pulled:
            context.scu_role = context.scp_role = True
        supported.append(context)
    return supported


def asks_to_store(proposed: Sequence[PresentationContext], *, only_pulled: Collection[str] = ()) -> bool:
    """Whether the peer proposes a storage SOP class that we serve, but for those in which it would only be sent to."""
    return any(
        context.abstract_syntax != Verification
        and context.abstract_syntax not in only_pulled
        and not has_requests(context.abstract_syntax)
        and _is_served(context.abstract_syntax)
        for context in proposed
        if context.abstract_syntax is not None
    )


def has_requests(uid: str | None) -> bool:
    """Whether its data sets are no objects but requests: Storage Commitment (PS3.4 annex J), C-FIND, C-MOVE, C-GET (C.4)."""
    return uid == StorageCommitmentPushModel or uid in _QUERY_RETRIEVE


def _is_served(uid: UID) -> bool:
    if has_requests(uid):
        return True
    service = uid_to_service_class(uid)
    if issubclass(service, StorageServiceClass | VerificationServiceClass):
        return True
    # pynetdicom's base class stands for UIDs that it does not know: retired, private and new storage SOP classes, but
    # also things of the standard that are no SOP class at all or not for storage.
    return service is ServiceClass and (uid.is_private or uid.name == str(uid) or "Storage" in uid.name)
