"""Audit messages as XML (PS3.15 A.5): what each event says, and the schema's order and attributes (A.5.1)."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Literal
from xml.etree import ElementTree as ET

Action = Literal["C", "R", "U", "D", "E"]
#: PS3.15 A.5.1: nominal success, minor failure, serious failure.
Outcome = Literal["0", "4", "8"]
SUCCESS: Outcome = "0"
MINOR_FAILURE: Outcome = "4"
SERIOUS_FAILURE: Outcome = "8"


@dataclass(frozen=True)
class Code:
    """A coded value (PS3.16 CID 400 to 405 and annex D)."""

    value: str
    meaning: str
    system: str = "DCM"


APPLICATION_ACTIVITY = Code("110100", "Application Activity")
BEGIN_TRANSFERRING = Code("110102", "Begin Transferring DICOM Instances")
INSTANCES_ACCESSED = Code("110103", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
EXPORT = Code("110106", "Export")
QUERY = Code("110112", "Query")
SECURITY_ALERT = Code("110113", "Security Alert")
USER_AUTHENTICATION = Code("110114", "User Authentication")
APPLICATION_START = Code("110120", "Application Start")
APPLICATION_STOP = Code("110121", "Application Stop")
LOGIN, LOGOUT = Code("110122", "Login"), Code("110123", "Logout")
SECURITY_CONFIGURATION = Code("110129", "Security Configuration")
USER_ATTRIBUTES_CHANGED = Code("110137", "User security Attributes Changed")
APPLICATION = Code("110150", "Application")
DESTINATION, SOURCE = Code("110152", "Destination Role ID"), Code("110153", "Source Role ID")
DESTINATION_MEDIA = Code("110154", "Destination Media")
STUDY_UID, NODE_ID = Code("110180", "Study Instance UID"), Code("110182", "Node ID")
SOP_CLASS_UID = Code("110181", "SOP Class UID")
PATIENT_NUMBER = Code("2", "Patient Number", "RFC-3881")
URI_MEDIA = Code("110037", "URI")


@dataclass(frozen=True, kw_only=True)
class Participant:
    """Somebody or something that took part. ``ae_title`` and ``address`` are empty where there is none."""

    user_id: str
    is_requestor: bool
    role: Code | None = None
    media: Code | None = None
    ae_title: str = ""
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What was transferred or looked at; the number of instances by SOP class, where that is what it is about.

    ``patient_id``: whose it is, where that is told; nothing else of the patient is.
    """

    uid: str
    sop_classes: Mapping[str, int] = field(default_factory=dict)
    patient_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query (A.5.3.10): of which SOP class, and its data set as it is encoded."""

    sop_class_uid: str
    data_set: bytes
    transfer_syntax_uid: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened; ``alert`` says of a security alert what it is about, ``at`` is timezone-aware."""

    what: Code
    at: datetime
    action: Action
    participants: tuple[Participant, ...]
    kind: Code | None = None
    outcome: Outcome = SUCCESS
    why: str = ""
    study: Study | None = None
    query: Query | None = None
    alert: str = ""


def xml_of(event: Event, *, source: str) -> str:
    """The message, in one line; ``source`` names the node (Audit Source ID)."""
    root = ET.Element("AuditMessage")
    identification = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=event.at.isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=event.outcome,
    )
    _code(identification, "EventID", event.what)
    if event.kind is not None:
        _code(identification, "EventTypeCode", event.kind)
    if event.why:
        ET.SubElement(identification, "EventOutcomeDescription").text = event.why
    for one in event.participants:
        _participant(root, one)
    origin = ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=source)
    ET.SubElement(origin, "AuditSourceTypeCode", {"csd-code": "4"})  # application server process
    if event.study is not None:
        _study(root, event.study)
        if event.study.patient_id is not None:
            _object(root, event.study.patient_id, kind=PATIENT_NUMBER, role="1", type_code="1")  # person, patient
    if event.query is not None:
        _query(root, event.query)
    if event.alert:
        subject = _object(root, source, kind=NODE_ID, role="13")  # security resource
        _detail(subject, "Alert Description", event.alert)
    text = ET.tostring(root, encoding="unicode")
    # Of its own line breaks ElementTree leaves those of text as they are.
    return '<?xml version="1.0" encoding="UTF-8"?>' + text.replace("\r", "&#13;").replace("\n", "&#10;")


def _participant(root: ET.Element, one: Participant) -> None:
    values = {"UserID": one.user_id, "UserIsRequestor": "true" if one.is_requestor else "false"}
    if one.ae_title:
        values["AlternativeUserID"] = f"AETITLES={one.ae_title}"  # A.5.2.2
    if one.address:
        values |= {"NetworkAccessPointID": one.address, "NetworkAccessPointTypeCode": _access_point(one.address)}
    element = ET.SubElement(root, "ActiveParticipant", values)
    if one.role is not None:
        _code(element, "RoleIDCode", one.role)
    if one.media is not None:
        _code(ET.SubElement(element, "MediaIdentifier"), "MediaType", one.media)


def _study(root: ET.Element, study: Study) -> None:
    element = _object(root, study.uid, kind=STUDY_UID, role="3")  # report
    description = ET.SubElement(element, "ParticipantObjectDescription")
    for uid, count in sorted(study.sop_classes.items()):
        ET.SubElement(description, "SOPClass", UID=uid, NumberOfInstances=str(count))
    contains = ET.SubElement(description, "ParticipantObjectContainsStudy")
    ET.SubElement(contains, "StudyIDs", UID=study.uid)


def _query(root: ET.Element, query: Query) -> None:
    element = _object(root, query.sop_class_uid, kind=SOP_CLASS_UID, role="3", query=query.data_set)
    _detail(element, "TransferSyntax", query.transfer_syntax_uid)


def _object(
    root: ET.Element, number: str, *, kind: Code, role: str, type_code: str = "2", query: bytes | None = None
) -> ET.Element:
    """An object, of the system unless ``type_code`` says otherwise.

    The schema wants a name, or a query in its place; a study's name would be the patient's business.
    """
    values = {
        "ParticipantObjectID": number,
        "ParticipantObjectTypeCode": type_code,
        "ParticipantObjectTypeCodeRole": role,
    }
    element = ET.SubElement(root, "ParticipantObjectIdentification", values)
    _code(element, "ParticipantObjectIDTypeCode", kind)
    if query is None:
        ET.SubElement(element, "ParticipantObjectName").text = number
    else:
        ET.SubElement(element, "ParticipantObjectQuery").text = b64encode(query).decode("ascii")
    return element


def _detail(element: ET.Element, kind: str, value: str) -> None:
    ET.SubElement(element, "ParticipantObjectDetail", type=kind, value=b64encode(value.encode()).decode("ascii"))


def _code(parent: ET.Element, name: str, code: Code) -> None:
    values = {"csd-code": code.value, "codeSystemName": code.system, "originalText": code.meaning}
    ET.SubElement(parent, name, values)


def _access_point(address: str) -> str:
    """1: machine name, 2: IP address."""
    try:
        ip_address(address.partition("%")[0])
    except ValueError:
        return "1"
    return "2"
