"""People are told what needs them: once, whatever the target did meanwhile, and without a patient's name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_node.catalog import Catalog, JobState
from dicom_node.config import parse_settings
from dicom_node.errors import NodeError
from dicom_node.notify import Notice, NotifyTarget
from dicom_node.service.health import HealthCheck
from dicom_node.service.notifying import Notifier
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock, derive, job_in


class _Target(NotifyTarget):
    type: str = "fake"

    @property
    def name(self) -> str:
        return "fake"

    def tell(self, notice: Notice) -> None:
        if BROKEN:
            raise NodeError("notice_not_sent", "It is gone.")
        TOLD.append(notice)


TOLD: list[Notice] = []
BROKEN: list[bool] = []


class _Source:
    def __init__(self, *targets: NotifyTarget) -> None:
        self.current = parse_settings({"routes": {"A": {"phase": "venous", "destinations": []}}}).model_copy(
            update={"notify": targets}
        )


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    TOLD.clear()
    BROKEN.clear()
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        yield catalog


def _quarantine(catalog: Catalog, code: str = "not_dicom") -> None:
    catalog.quarantine_object(
        route="A",
        calling_ae="CT1",
        peer="10.0.0.1",
        association_id="1",
        sop_instance_uid="1.2",
        path=None,
        size=1,
        reason=Problem(code, "It is no DICOM file."),
    )


def _notifier(catalog: Catalog, folder: Path, health: Any = list) -> Notifier:
    return Notifier(_Source(_Target()), catalog, health=health, folder=folder)


def test_each_failure_is_told_once_over_a_restart(catalog: Catalog, tmp_path: Path) -> None:
    notifier = _notifier(catalog, tmp_path)
    notifier.run_once()
    assert TOLD == []
    _quarantine(catalog)
    _quarantine(catalog)
    assert notifier.run_once()
    assert not notifier.run_once()
    _notifier(catalog, tmp_path).run_once()
    assert [(one.event, one.summary) for one in TOLD] == [("quarantine", "2 in quarantine: not_dicom (2)")]
    assert TOLD[0].lines[0] == "object from CT1 for A: It is no DICOM file."


def test_what_a_target_missed_comes_when_it_is_back_also_after_a_restart(catalog: Catalog, tmp_path: Path) -> None:
    _notifier(catalog, tmp_path).run_once()
    BROKEN.append(True)
    _quarantine(catalog)
    assert not _notifier(catalog, tmp_path).run_once()
    BROKEN.clear()
    _notifier(catalog, tmp_path).run_once()
    assert len(TOLD) == 1


def test_the_node_s_health_is_told_when_it_lasts_and_when_it_is_well_again(catalog: Catalog, tmp_path: Path) -> None:
    state = [HealthCheck(name="disk", ok=False, detail="3 MiB are free in data_dir")]
    notifier = _notifier(catalog, tmp_path, health=lambda: state)
    notifier.run_once()
    assert TOLD == []
    for _ in range(3):
        notifier.run_once()
    state[:] = [HealthCheck(name="disk", ok=True)]
    for _ in range(3):
        notifier.run_once()
    assert [one.summary for one in TOLD] == ["not ready: disk", "ready again"]
    assert TOLD[0].lines == ("disk: 3 MiB are free in data_dir",)


def test_a_long_list_is_counted_not_sent(catalog: Catalog, tmp_path: Path) -> None:
    notifier = _notifier(catalog, tmp_path)
    notifier.run_once()
    for number in range(14):
        _quarantine(catalog, code="a" if number < 9 else "b")
    notifier.run_once()
    assert TOLD[0].summary == "14 in quarantine: a (9), b (5)"
    assert TOLD[0].lines[-1] == "and 4 more"
    assert len(TOLD[0].lines) == 11


def test_a_failed_job_and_a_failed_delivery_are_told_with_their_numbers(tmp_path: Path) -> None:
    TOLD.clear()
    clock = Clock()
    with Catalog(tmp_path / "other.sqlite", clock=clock, monotonic=clock.monotonic) as catalog:
        notifier = _notifier(catalog, tmp_path)
        notifier.run_once()
        clock.advance(1)
        job = job_in(catalog, clock, JobState.DERIVING)
        assert derive(catalog, job)
        delivery = catalog.claim_delivery(clock())
        assert delivery is not None
        assert catalog.finish_delivery(delivery, reason=Problem("refused_for_good", "It is refused."))
        notifier.run_once()
        (notice,) = TOLD
        assert notice.event == "failed"
        assert f"delivery of job {job} to pacs: It is refused." in notice.lines
        assert any(line.startswith(f"job {job}: ") for line in notice.lines)
        clock.advance(1)
        assert not notifier.run_once()
