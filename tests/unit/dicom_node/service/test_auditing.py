"""The audit trail of a running node: what came and went, once each, over restarts and steps of the clock."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dicom_node.audit.trail import AuditTrail, days
from dicom_node.catalog import Catalog, JobState
from dicom_node.config import Settings, parse_settings
from dicom_node.service.auditing import AuditStep, SyslogStep
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

    def told(self) -> list[tuple[str | None, ...]]:
        """Of each message: event, who took part, outcome."""
        found: list[tuple[str | None, ...]] = []
        for path in days(self.folder):
            for line in path.read_bytes().decode().splitlines():
                root = ET.fromstring(line.partition("\ufeff")[2])  # noqa: S314 (the node's own)
                event = root.find("EventIdentification")
                who = [one.get("UserID", "") for one in root.iter("ActiveParticipant")]
                found.append((event.find("EventID").get("originalText"), *who, event.get("EventOutcomeIndicator")))
        return found


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
    assert rig.told() == [CAME]

    assert deliver(rig.catalog, rig.clock)
    rig.step().run_once()
    rig.step().run_once()

    assert rig.told() == [CAME, WENT]


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

    assert sorted(rig.told()) == sorted([CAME, WENT])


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

    assert rig.told() == [CAME]


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
    assert len(rig.told()) == 2
