"""What the node's own happenings are in terms of PS3.15 A.5.3."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dicom_node.audit import messages as m
from dicom_node.audit.messages import Code, Event, Participant, Query, Study

#: Notes of `dicom_node.people.accounts` that are changes of who may do what.
_CHANGES = frozenset({"user_added", "user_changed", "user_removed", "token_created", "token_revoked"})
_AUTHENTICATION: Mapping[str, tuple[Code, m.Outcome]] = {
    "logged_in": (m.LOGIN, m.SUCCESS),
    "login_failed": (m.LOGIN, m.MINOR_FAILURE),
    "login_throttled": (m.LOGIN, m.MINOR_FAILURE),
    "logged_out": (m.LOGOUT, m.SUCCESS),
}


def application(node: str, *, started: bool, at: datetime) -> Event:
    """The node starts or stops (A.5.3.1)."""
    return Event(
        what=m.APPLICATION_ACTIVITY,
        kind=m.APPLICATION_START if started else m.APPLICATION_STOP,
        at=at,
        action="E",
        participants=(Participant(user_id=node, is_requestor=False, role=m.APPLICATION, ae_title=node),),
    )


def received(node: str, *, calling_ae: str, address: str, study: Study, at: datetime, begins: bool = False) -> Event:
    """A series has come whole (A.5.3.7, DICOM Instances Transferred), or the first of it came (A.5.3.3, Begin Transferring)."""
    sender = Participant(user_id=calling_ae, is_requestor=True, role=m.SOURCE, ae_title=calling_ae, address=address)
    receiver = Participant(user_id=node, is_requestor=False, role=m.DESTINATION, ae_title=node)
    return Event(
        what=m.BEGIN_TRANSFERRING if begins else m.INSTANCES_TRANSFERRED,
        at=at,
        action="E" if begins else "C",
        participants=(sender, receiver),
        study=study,
    )


def sending(node: str, *, destination: str, ae_title: str, address: str, study: Study, at: datetime) -> Event:
    """A derived series begins to go to an application entity (A.5.3.3, Begin Transferring)."""
    sender = Participant(user_id=node, is_requestor=True, role=m.SOURCE, ae_title=node)
    receiver = Participant(
        user_id=destination, is_requestor=False, role=m.DESTINATION, ae_title=ae_title, address=address
    )
    return Event(what=m.BEGIN_TRANSFERRING, at=at, action="E", participants=(sender, receiver), study=study)


def sent(
    node: str,
    *,
    destination: str,
    ae_title: str,
    address: str,
    leaves_network: bool,
    study: Study,
    at: datetime,
    problem: str | None,
) -> Event:
    """A derived series went to a destination, or for good did not (``problem``, a reason code).

    ``leaves_network``: it was copied to where no other application entity answers for it (A.5.3.5, Export); else A.5.3.7.
    """
    sender = Participant(user_id=node, is_requestor=True, role=m.SOURCE, ae_title=node)
    if leaves_network:
        receiver = Participant(
            user_id=destination, is_requestor=False, role=m.DESTINATION_MEDIA, media=m.URI_MEDIA, address=address
        )
    else:
        receiver = Participant(
            user_id=destination, is_requestor=False, role=m.DESTINATION, ae_title=ae_title, address=address
        )
    return Event(
        what=m.EXPORT if leaves_network else m.INSTANCES_TRANSFERRED,
        at=at,
        action="R" if leaves_network else "C",
        outcome=m.SUCCESS if problem is None else m.SERIOUS_FAILURE,
        why=problem or "",
        participants=(sender, receiver),
        study=study,
    )


@dataclass(frozen=True, kw_only=True)
class Way:
    """Where what a peer retrieves goes: to another application entity, or (its own AE title and address) to itself."""

    ae_title: str
    address: str


def retrieved(
    node: str,
    *,
    way: Way,
    calling_ae: str,
    address: str,
    study: Study,
    at: datetime,
    begins: bool,
    outcome: m.Outcome = m.SUCCESS,
) -> Event:
    """Instances that a peer asked for begin to go where it said (A.5.3.3), or have gone, all or some (A.5.3.7)."""
    sender = Participant(user_id=node, is_requestor=False, role=m.SOURCE, ae_title=node)
    is_own = way.ae_title == calling_ae
    receiver = Participant(
        user_id=way.ae_title, is_requestor=is_own, role=m.DESTINATION, ae_title=way.ae_title, address=way.address
    )
    asker = Participant(user_id=calling_ae, is_requestor=True, ae_title=calling_ae, address=address)
    return Event(
        what=m.BEGIN_TRANSFERRING if begins else m.INSTANCES_TRANSFERRED,
        at=at,
        action="E" if begins else "C",
        outcome=outcome,
        participants=(sender, receiver) if is_own else (sender, receiver, asker),
        study=study,
    )


def queried(node: str, *, calling_ae: str, address: str, query: Query, at: datetime, refused: bool) -> Event:
    """A peer has asked what there is (A.5.3.10, Query)."""
    asker = Participant(user_id=calling_ae, is_requestor=True, role=m.SOURCE, ae_title=calling_ae, address=address)
    answerer = Participant(user_id=node, is_requestor=False, role=m.DESTINATION, ae_title=node)
    return Event(
        what=m.QUERY,
        at=at,
        action="E",
        outcome=m.MINOR_FAILURE if refused else m.SUCCESS,
        participants=(asker, answerer),
        query=query,
    )


def accessed(who: str, *, address: str, study: Study, at: datetime) -> Event:
    """Somebody looked at pictures (A.5.3.6, DICOM Instances Accessed)."""
    return Event(
        what=m.INSTANCES_ACCESSED,
        at=at,
        action="R",
        participants=(Participant(user_id=who, is_requestor=True, address=address),),
        study=study,
    )


def configuration_changed(node: str, *, who: str, version: int, at: datetime) -> Event:
    """Another configuration is in force (A.5.3.11, Security Alert): peers, destinations, certificates."""
    return _alert(node, m.SECURITY_CONFIGURATION, who=who, about=f"configuration version {version}", at=at)


def of_people(node: str, note: str, values: Mapping[str, object], *, at: datetime) -> Event | None:
    """What a note of `dicom_node.people.accounts` is (A.5.3.12, User Authentication, or A.5.3.11); None if nothing."""
    if note in _AUTHENTICATION:
        kind, outcome = _AUTHENTICATION[note]
        user = Participant(user_id=str(values["user"]), is_requestor=True, address=str(values.get("address", "")))
        system = Participant(user_id=node, is_requestor=False)
        return Event(
            what=m.USER_AUTHENTICATION,
            kind=kind,
            at=at,
            action="E",
            outcome=outcome,
            why="" if outcome == m.SUCCESS else note,
            participants=(user, system),
        )
    if note in _CHANGES:
        said = " ".join(f"{name}={value}" for name, value in values.items() if name != "who")
        return _alert(node, m.USER_ATTRIBUTES_CHANGED, who=str(values["who"]), about=f"{note} {said}", at=at)
    return None


def _alert(node: str, kind: Code, *, who: str, about: str, at: datetime) -> Event:
    participants = (
        Participant(user_id=node, is_requestor=False, role=m.APPLICATION),
        Participant(user_id=who, is_requestor=True),
    )
    return Event(what=m.SECURITY_ALERT, kind=kind, at=at, action="E", participants=participants, alert=about)
