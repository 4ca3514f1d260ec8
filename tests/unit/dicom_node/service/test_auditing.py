"""The audit trail of a running node: what came and went, once each, over restarts and steps of the clock."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dicom_node.audit.trail import AuditTrail, days
from dicom_node.catalog import Catalog, JobState, Subject
from dicom_node.config import Settings, parse_settings
from dicom_node.service.auditing import AuditStep, Outgoing, SyslogStep
from tests.catalog_jobs import Clock, deliver, job_in


class Rig:
    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self.catalog = Catalog(folder / "catalog.sqlite", clock=clock)
        self.settings: Settings = parse_settings(
            {
                "node": {"data_dir": str(folder)},
                "routes": {"CECT_ART": {"phase": "arterial", "destinations": ["pacs"]}},
                "destinations": {"pacs": {"ae_title": "ORTHANC", "host": "10.0.0.5", "port": 4242}},
                "audit": {"keep_days": 30},
            }
        )
        self.folder = folder / "audit"

    def step(self) -> AuditStep:
        """As after a start of the node."""
        trail = AuditTrail(self.folder, node="S2LDM", now=self.clock)
        return AuditStep(self.settings, self.catalog, trail)

    def text(self) -> str:
        return "".join(path.read_bytes().decode() for path in days(self.folder))

    def messages(self) -> list[ET.Element]:
        return [ET.fromstring(line.partition("\ufeff")[2]) for line in self.text().splitlines()]  # noqa: S314 (the node's own)

    def told(self) -> list[tuple[str | None, ...]]:
        """Of each message: event, who took part, outcome."""
        found: list[tuple[str | None, ...]] = []
        for root in self.messages():
            event = root.find("EventIdentification")
            who = [one.get("UserID", "") for one in root.iter("ActiveParticipant")]
            found.append((event.find("EventID").get("originalText"), *who, event.get("EventOutcomeIndicator")))
        return found

    def patients(self) -> list[str | None]:
        """The objects "Patient" (type person, role patient)."""
        objects = [one for root in self.messages() for one in root.iter("ParticipantObjectIdentification")]
        return [
            one.get("ParticipantObjectID")
            for one in objects
            if (one.get("ParticipantObjectTypeCode"), one.get("ParticipantObjectTypeCodeRole")) == ("1", "1")
        ]

    def times(self) -> list[datetime]:
        found = [root.find("EventIdentification").get("EventDateTime") for root in self.messages()]
        return [datetime.fromisoformat(one) for one in found]


BEGAN = ("Begin Transferring DICOM Instances", "PACS", "S2LDM", "0")
CAME = ("DICOM Instances Transferred", "PACS", "S2LDM", "0")
WENT = ("DICOM Instances Transferred", "S2LDM", "pacs", "0")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, Clock())
    yield rig
    rig.catalog.close()


def test_a_series_that_came_and_one_that_went_are_told_once_over_restarts(rig: Rig) -> None:
    rig.step().run_once()
    job_in(rig.catalog, rig.clock, JobState.DELIVERING)
    step = rig.step()  # what came while it was away is new
    step.run_once()
    step.run_once()
    assert rig.told() == [BEGAN, CAME]

    assert deliver(rig.catalog, rig.clock)
    rig.step().run_once()
    rig.step().run_once()

    assert rig.told() == [BEGAN, CAME, WENT]


@pytest.mark.parametrize("seconds", [-3600, 3600, -86400 * 400])
def test_a_step_of_the_clock_hides_and_repeats_nothing(rig: Rig, seconds: float) -> None:
    step = rig.step()
    job_in(rig.catalog, rig.clock, JobState.DELIVERING)
    step.run_once()
    rig.clock.step(seconds)
    step.run_once()
    assert deliver(rig.catalog, rig.clock)
    step.run_once()
    step.run_once()

    assert sorted(rig.told()) == sorted([BEGAN, CAME, WENT])


def test_what_the_disk_did_not_take_is_told_later(rig: Rig) -> None:
    step = rig.step()
    job_in(rig.catalog, rig.clock, JobState.DELIVERING)
    rig.folder.rename(rig.folder.with_name("away"))
    rig.folder.write_text("in the way")
    with pytest.raises(OSError, match="exists"):
        step.run_once()
    rig.folder.unlink()
    rig.folder.with_name("away").rename(rig.folder)
    step.run_once()

    assert rig.told() == [BEGAN, CAME]


def test_an_upgraded_node_does_not_tell_of_what_was_before(rig: Rig) -> None:
    job_in(rig.catalog, rig.clock, JobState.DONE)
    rig.step().run_once()

    assert rig.told() == []


def test_a_syslog_server_that_is_away_holds_up_nobody(rig: Rig) -> None:
    rig.settings = rig.settings.model_copy(
        update={"audit": rig.settings.audit.model_copy(update={"syslog": "127.0.0.1:1"})}
    )
    step = rig.step()
    job_in(rig.catalog, rig.clock, JobState.DONE)
    step.run_once()

    assert SyslogStep(rig.settings, rig.folder).run_once() is False
    assert len(rig.told()) == 3


def test_a_series_is_told_once_it_is_known_whose_it_is_with_its_patient_and_its_times(rig: Rig) -> None:
    """A.5.3.3 and A.5.3.7 want a Patient; it is known when the headers have been read."""
    step = rig.step()
    job_id = job_in(rig.catalog, rig.clock, JobState.SELECTING)
    step.run_once()
    assert rig.told() == []

    (series,) = rig.catalog.list_series()
    rig.catalog.set_subject(series.key, Subject(patient_id="P 1", patient_name="DOE^JANE"))
    assert rig.catalog.accept_job(rig.catalog.get_job(job_id), details={})
    step.run_once()
    assert rig.told() == [BEGAN, CAME]
    assert rig.patients() == ["P 1", "P 1"]
    assert rig.times() == [series.first_received_at, series.completed_at]
    assert series.first_received_at < series.completed_at
    assert "DOE" not in rig.text()


def test_a_series_that_is_not_selected_for_long_is_told_without_its_patient(rig: Rig) -> None:
    step = rig.step()
    job_in(rig.catalog, rig.clock, JobState.SELECTING)
    rig.clock.advance(599)
    step.run_once()
    assert rig.told() == []
    rig.clock.advance(2)
    step.run_once()
    step.run_once()
    assert rig.told() == [BEGAN, CAME]
    assert rig.patients() == []


def test_a_delivery_begins_and_ends_with_its_patient(rig: Rig) -> None:
    step = rig.step()
    job_id = job_in(rig.catalog, rig.clock, JobState.DELIVERING)
    (series,) = rig.catalog.list_series()
    rig.catalog.set_subject(series.key, Subject(patient_id="P 1"))
    step.run_once()
    (delivery,) = rig.catalog.list_deliveries(job_id=job_id)
    Outgoing(rig.settings, rig.catalog, AuditTrail(rig.folder, node="S2LDM", now=rig.clock)).began(delivery.id)
    assert deliver(rig.catalog, rig.clock)
    step.run_once()
    assert rig.told() == [BEGAN, CAME, ("Begin Transferring DICOM Instances", "S2LDM", "pacs", "0"), WENT]
    assert rig.patients() == ["P 1"] * 4


def test_what_goes_to_media_has_no_beginning(rig: Rig) -> None:
    """A.5.3.5, Export, is one message."""
    job_id = job_in(rig.catalog, rig.clock, JobState.DELIVERING)
    (delivery,) = rig.catalog.list_deliveries(job_id=job_id)
    out = parse_settings(
        {
            "routes": {"CECT_ART": {"phase": "arterial", "destinations": ["pacs"]}},
            "destinations": {"pacs": {"type": "folder", "path": str(rig.folder)}},
        }
    )
    Outgoing(out, rig.catalog, AuditTrail(rig.folder, node="S2LDM", now=rig.clock)).began(delivery.id)
    assert rig.told() == []


def test_the_trail_which_names_patients_is_for_its_owner_and_group_alone(rig: Rig) -> None:
    step = rig.step()
    job_in(rig.catalog, rig.clock, JobState.DELIVERING)
    step.run_once()
    assert {oct(path.stat().st_mode & 0o777) for path in days(rig.folder)} == {"0o640"}
