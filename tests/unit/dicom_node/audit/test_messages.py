"""Audit messages, by the schema of PS3.15 A.5.1 and by what A.5.3 wants of each event."""

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from dicom_node.audit.events import (
    Way,
    accessed,
    application,
    configuration_changed,
    of_people,
    queried,
    received,
    retrieved,
    sending,
    sent,
)
from dicom_node.audit.messages import MINOR_FAILURE, SUCCESS, Event, Query, Study, xml_of

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
STUDY = Study(uid="1.2.3", sop_classes={"1.2.840.10008.5.1.4.1.1.2": 40})


def login(note: str, **values: object) -> Event:
    event = of_people("S2LDM", note, {"user": "anna", "address": "10.0.0.9", "role": "viewer", **values}, at=AT)
    assert event is not None
    return event


def to(destination: str, *, leaves_network: bool = False, problem: str | None = None) -> Event:
    return sent(
        "S2LDM",
        destination=destination,
        ae_title="" if leaves_network else "ORTHANC",
        address="" if leaves_network else "pacs.example",
        leaves_network=leaves_network,
        study=STUDY,
        at=AT,
        problem=problem,
    )


def pulled(*, begins: bool) -> Event:
    return retrieved(
        "S2LDM",
        way=Way(ae_title="ORTHANC", address="pacs.example"),
        calling_ae="VIEWER",
        address="10.0.0.8",
        study=replace(STUDY, patient_id="P 1"),
        at=AT,
        begins=begins,
        outcome=SUCCESS if begins else MINOR_FAILURE,
    )


EVENTS = {
    "start": application("S2LDM", started=True, at=AT),
    "stop": application("S2LDM", started=False, at=AT),
    "received": received("S2LDM", calling_ae="SCANNER", address="10.0.0.7", study=STUDY, at=AT),
    "receiving": received("S2LDM", calling_ae="SCANNER", address="10.0.0.7", study=STUDY, at=AT, begins=True),
    "sending": sending(
        "S2LDM",
        destination="pacs",
        ae_title="ORTHANC",
        address="pacs.example",
        study=replace(STUDY, patient_id="P 1"),
        at=AT,
    ),
    "sent": to("pacs"),
    "not sent": to("pacs", problem="peer_refused"),
    "pull began": pulled(begins=True),
    "pulled": pulled(begins=False),
    "asked": queried(
        "S2LDM",
        calling_ae="VIEWER",
        address="10.0.0.8",
        query=Query(sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1", data_set=b"\0\1", transfer_syntax_uid="1.2"),
        at=AT,
        refused=True,
    ),
    "exported": to("out", leaves_network=True),
    "accessed": accessed("anna", address="10.0.0.9", study=Study(uid="1.2.3"), at=AT),
    "configuration": configuration_changed("S2LDM", who="anna", version=7, at=AT),
    "logged in": login("logged_in"),
    "login failed": login("login_failed"),
    "logged out": login("logged_out"),
    "user added": login("user_added", who="root"),
    "token revoked": login("token_revoked", who="root"),
}

# Of each element: its attributes (True: must be there; a set: and one of these), and its children in order with how often.
CODED: tuple[dict[str, object], list[tuple[str, int, int]]] = (
    {"csd-code": True, "codeSystemName": True, "originalText": True, "displayName": False},
    [],
)
SCHEMA: dict[str, tuple[dict[str, object], list[tuple[str, int, int]]]] = {
    "AuditMessage": (
        {},
        [
            ("EventIdentification", 1, 1),
            ("ActiveParticipant", 1, 99),
            ("AuditSourceIdentification", 1, 1),
            ("ParticipantObjectIdentification", 0, 99),
        ],
    ),
    "EventIdentification": (
        {
            "EventActionCode": {"C", "R", "U", "D", "E"},
            "EventDateTime": True,
            "EventOutcomeIndicator": {"0", "4", "8", "12"},
        },
        [("EventID", 1, 1), ("EventTypeCode", 0, 99), ("EventOutcomeDescription", 0, 1)],
    ),
    "ActiveParticipant": (
        {
            "UserID": True,
            "UserIsRequestor": {"true", "false"},
            "AlternativeUserID": False,
            "UserName": False,
            "NetworkAccessPointID": False,
            "NetworkAccessPointTypeCode": False,
        },
        [("RoleIDCode", 0, 99), ("MediaIdentifier", 0, 1)],
    ),
    "MediaIdentifier": ({}, [("MediaType", 1, 1)]),
    "AuditSourceIdentification": (
        {"AuditSourceID": True, "AuditEnterpriseSiteID": False},
        [("AuditSourceTypeCode", 0, 99)],
    ),
    "AuditSourceTypeCode": ({"csd-code": {str(code) for code in range(1, 10)}}, []),
    "ParticipantObjectIdentification": (
        {
            "ParticipantObjectID": True,
            "ParticipantObjectTypeCode": {"1", "2", "3", "4"},
            "ParticipantObjectTypeCodeRole": {str(role) for role in range(1, 27)},
        },
        [
            ("ParticipantObjectIDTypeCode", 1, 1),
            ("ParticipantObjectName", 0, 1),
            ("ParticipantObjectQuery", 0, 1),
            ("ParticipantObjectDetail", 0, 99),
            ("ParticipantObjectDescription", 0, 99),
        ],
    ),
    "ParticipantObjectDetail": ({"type": True, "value": True}, []),
    "ParticipantObjectDescription": ({}, [("SOPClass", 0, 99), ("ParticipantObjectContainsStudy", 0, 1)]),
    "SOPClass": ({"UID": False, "NumberOfInstances": True}, []),
    "ParticipantObjectContainsStudy": ({}, [("StudyIDs", 0, 99)]),
    "StudyIDs": ({"UID": True}, []),
    **dict.fromkeys(("EventID", "EventTypeCode", "RoleIDCode", "MediaType", "ParticipantObjectIDTypeCode"), CODED),
    "EventOutcomeDescription": ({}, []),
    "ParticipantObjectName": ({}, []),
    "ParticipantObjectQuery": ({}, []),
}


def faults(element: ET.Element) -> list[str]:
    """Where an element is not as the schema says."""
    attributes, children = SCHEMA[element.tag]
    found = [f"{element.tag} has {name}" for name in element.attrib if name not in attributes]
    for name, rule in attributes.items():
        value = element.get(name)
        if value is None and rule is not False:
            found.append(f"{element.tag} lacks {name}")
        elif isinstance(rule, set) and value not in rule:
            found.append(f"{element.tag} has {name} {value}")
    names = [child.tag for child in element]
    order = [name for name, _, _ in children]
    if any(name not in order for name in names) or names != sorted(names, key=order.index):
        found.append(f"{element.tag} has {names}")
    for name, least, most in children:
        if not least <= names.count(name) <= most:
            found.append(f"{element.tag} has {names.count(name)} {name}")
    if (
        element.tag == "ParticipantObjectIdentification"
        and sum(name.endswith(("Name", "Query")) for name in names) != 1
    ):
        found.append("an object has either a name or a query")
    return [*found, *(fault for child in element for fault in faults(child))]


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_a_message_is_as_the_schema_says_and_one_line(event: Event) -> None:
    text = xml_of(event, source="S2LDM")

    assert "\n" not in text
    assert faults(ET.fromstring(text)) == []  # noqa: S314 (the node's own)


def test_a_series_that_came_is_instances_transferred_from_its_sender_to_the_node() -> None:
    """A.5.3.7, put together by hand."""
    assert xml_of(EVENTS["received"], source="S2LDM") == (
        '<?xml version="1.0" encoding="UTF-8"?><AuditMessage>'
        '<EventIdentification EventActionCode="C" EventDateTime="2026-01-02T03:04:05.678+00:00" EventOutcomeIndicator="0">'
        '<EventID csd-code="110104" codeSystemName="DCM" originalText="DICOM Instances Transferred" />'
        "</EventIdentification>"
        '<ActiveParticipant UserID="SCANNER" UserIsRequestor="true" AlternativeUserID="AETITLES=SCANNER" '
        'NetworkAccessPointID="10.0.0.7" NetworkAccessPointTypeCode="2">'
        '<RoleIDCode csd-code="110153" codeSystemName="DCM" originalText="Source Role ID" /></ActiveParticipant>'
        '<ActiveParticipant UserID="S2LDM" UserIsRequestor="false" AlternativeUserID="AETITLES=S2LDM">'
        '<RoleIDCode csd-code="110152" codeSystemName="DCM" originalText="Destination Role ID" /></ActiveParticipant>'
        '<AuditSourceIdentification AuditSourceID="S2LDM"><AuditSourceTypeCode csd-code="4" /></AuditSourceIdentification>'
        '<ParticipantObjectIdentification ParticipantObjectID="1.2.3" ParticipantObjectTypeCode="2" '
        'ParticipantObjectTypeCodeRole="3">'
        '<ParticipantObjectIDTypeCode csd-code="110180" codeSystemName="DCM" originalText="Study Instance UID" />'
        "<ParticipantObjectName>1.2.3</ParticipantObjectName><ParticipantObjectDescription>"
        '<SOPClass UID="1.2.840.10008.5.1.4.1.1.2" NumberOfInstances="40" />'
        '<ParticipantObjectContainsStudy><StudyIDs UID="1.2.3" /></ParticipantObjectContainsStudy>'
        "</ParticipantObjectDescription></ParticipantObjectIdentification></AuditMessage>"
    )


@pytest.mark.parametrize(
    ("name", "event_id", "kind", "action", "outcome"),
    [
        ("start", "110100", "110120", "E", "0"),
        ("stop", "110100", "110121", "E", "0"),
        ("receiving", "110102", None, "E", "0"),
        ("sending", "110102", None, "E", "0"),
        ("sent", "110104", None, "C", "0"),
        ("not sent", "110104", None, "C", "8"),
        ("pull began", "110102", None, "E", "0"),
        ("pulled", "110104", None, "C", "4"),
        ("asked", "110112", None, "E", "4"),
        ("exported", "110106", None, "R", "0"),
        ("accessed", "110103", None, "R", "0"),
        ("configuration", "110113", "110129", "E", "0"),
        ("logged in", "110114", "110122", "E", "0"),
        ("login failed", "110114", "110122", "E", "4"),
        ("logged out", "110114", "110123", "E", "0"),
        ("user added", "110113", "110137", "E", "0"),
    ],
)
def test_an_event_has_its_codes(name: str, event_id: str, kind: str | None, action: str, outcome: str) -> None:
    """A.5.3.1 to A.5.3.12."""
    root = ET.fromstring(xml_of(EVENTS[name], source="S2LDM"))  # noqa: S314 (the node's own)
    found = root.find("EventIdentification")
    kinds = [one.get("csd-code") for one in root.iter("EventTypeCode")]

    assert found is not None
    assert root.find("EventIdentification/EventID").get("csd-code") == event_id
    assert kinds == ([] if kind is None else [kind])
    assert (found.get("EventActionCode"), found.get("EventOutcomeIndicator")) == (action, outcome)


def test_a_transfer_that_somebody_asked_for_has_its_patient_and_a_query_its_keys() -> None:
    """A.5.3.7 and A.5.3.10."""
    root = ET.fromstring(xml_of(EVENTS["pulled"], source="S2LDM"))  # noqa: S314 (the node's own)
    patient = root.findall("ParticipantObjectIdentification")[1]
    assert patient.attrib == {
        "ParticipantObjectID": "P 1",
        "ParticipantObjectTypeCode": "1",
        "ParticipantObjectTypeCodeRole": "1",
    }
    kind = patient.find("ParticipantObjectIDTypeCode")
    assert kind is not None
    assert (kind.get("csd-code"), kind.get("codeSystemName")) == ("2", "RFC-3881")
    root = ET.fromstring(xml_of(EVENTS["asked"], source="S2LDM"))  # noqa: S314 (the node's own)
    assert root.findtext("ParticipantObjectIdentification/ParticipantObjectQuery") == "AAE="
    detail = root.find("ParticipantObjectIdentification/ParticipantObjectDetail")
    assert detail is not None
    assert detail.attrib == {"type": "TransferSyntax", "value": "MS4y"}


def test_an_alert_says_what_was_changed_and_by_whom() -> None:
    root = ET.fromstring(xml_of(EVENTS["user added"], source="S2LDM"))  # noqa: S314 (the node's own)
    detail = root.find("ParticipantObjectIdentification/ParticipantObjectDetail")

    assert b64decode(detail.get("value")) == b"user_added user=anna address=10.0.0.9 role=viewer"
    assert [one.get("UserID") for one in root.iter("ActiveParticipant") if one.get("UserIsRequestor") == "true"] == [
        "root"
    ]


def test_what_a_peer_calls_itself_ends_no_line_and_no_attribute() -> None:
    event = received("S2LDM", calling_ae='A"<\n&', address="10.0.0.7", study=STUDY, at=AT)
    text = xml_of(event, source="S2LDM")

    assert "\n" not in text
    assert ET.fromstring(text).find("ActiveParticipant").get("UserID") == 'A"<\n&'  # noqa: S314 (the node's own)
