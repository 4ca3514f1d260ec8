"""Who comes, looks and changes over HTTP is in the audit trail."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from starlette.testclient import TestClient

from dicom_node.audit.trail import AuditTrail, days
from dicom_node.catalog import Subject
from dicom_node.web.app import create_app
from tests.unit.dicom_node.web.conftest import HERE, Console
from tests.unit.dicom_node.web.test_access import PASSWORD, people

__all__ = ["people"]


@pytest.fixture
def audited(people: Console, tmp_path: Path) -> tuple[TestClient, Callable[[], list[tuple[Any, ...]]]]:
    """A browser, and what the trail says: event, kinds, who asked from where, outcome, studies."""
    trail = AuditTrail(tmp_path / "audit", node="S2LDM")
    app = create_app(people.configuration, people.catalog, readiness=list, metrics=lambda: b"", trail=trail)

    def told() -> list[tuple[Any, ...]]:
        found = []
        for line in "".join(path.read_text() for path in days(trail.folder)).splitlines():
            root = ET.fromstring(line.partition("\ufeff")[2])  # noqa: S314 (the node's own)
            event, asked = root.find("EventIdentification"), root.find("ActiveParticipant[@UserIsRequestor='true']")
            found.append(
                (
                    event.find("EventID").get("originalText"),
                    *(one.get("originalText") for one in event.iter("EventTypeCode")),
                    asked.get("UserID"),
                    asked.get("NetworkAccessPointID"),
                    event.get("EventOutcomeIndicator"),
                    *(one.get("UID") for one in root.iter("StudyIDs")),
                )
            )
        return found

    return TestClient(app, base_url=HERE, client=("10.0.0.9", 50000), follow_redirects=False), told


def test_log_in_failed_log_in_look_and_log_out_are_told(
    audited: tuple[TestClient, Callable[[], list[tuple[Any, ...]]]], people: Console
) -> None:
    browser, told = audited
    study = people.catalog.get_series(people.series).study_instance_uid
    browser.post("/login", data={"name": "vera", "password": "wrong"})
    browser.post("/login", data={"name": "vera", "password": PASSWORD})
    for index in (0, 1, 2):
        assert browser.get(f"/api/series/{people.series}/image.png?index={index}").status_code == 200
    assert browser.get(f"/api/series/{people.series}/image.png?index=99999").status_code == 422
    browser.post("/logout")

    assert told() == [
        ("User Authentication", "Login", "vera", "10.0.0.9", "4"),
        ("User Authentication", "Login", "vera", "10.0.0.9", "0"),
        ("DICOM Instances Accessed", "vera", "10.0.0.9", "0", study),
        ("User Authentication", "Logout", "vera", "10.0.0.9", "0"),
    ]


def test_a_change_of_who_may_do_what_is_told_without_a_secret(
    audited: tuple[TestClient, Callable[[], list[tuple[Any, ...]]]], tmp_path: Path
) -> None:
    browser, told = audited
    browser.post("/login", data={"name": "anna", "password": PASSWORD})
    answer = browser.post("/api/tokens", json={"name": "dashboard", "role": "viewer"})
    assert answer.status_code == 201

    assert told()[-1] == ("Security Alert", "User security Attributes Changed", "anna", None, "0")
    assert not any(answer.json()["token"] in path.read_text() for path in days(tmp_path / "audit"))


def test_a_look_at_pictures_has_its_patient(
    audited: tuple[TestClient, Callable[[], list[tuple[Any, ...]]]], people: Console, tmp_path: Path
) -> None:
    """A.5.3.6."""
    browser, _ = audited
    people.catalog.set_subject(people.series, Subject(patient_id="P 7", patient_name="DOE^JANE"))
    browser.post("/login", data={"name": "vera", "password": PASSWORD})
    assert browser.get(f"/api/series/{people.series}/image.png?index=0").status_code == 200

    text = "".join(path.read_text() for path in days(tmp_path / "audit"))
    assert text.count('ParticipantObjectID="P 7" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1"') == 1
    assert "DOE" not in text
