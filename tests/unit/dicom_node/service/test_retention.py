"""Retention: files go when their time is over, and never sooner."""

from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, JobState
from dicom_node.config import Settings, parse_settings
from dicom_node.service.retention import RetentionStep
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock, complete, instance, job_in

DAY = 86_400.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return parse_settings({"node": {"data_dir": str(tmp_path)}, "retention": {"source_days": 7, "derived_days": 7}})


def add_file(catalog: Catalog, path: Path) -> Path:
    path.write_bytes(b"a CT image")
    catalog.add_instance(instance(0, path=path))
    return path


def test_source_of_a_done_job_goes_after_its_days(
    settings: Settings, catalog: Catalog, clock: Clock, tmp_path: Path
) -> None:
    file = add_file(catalog, tmp_path / "0.dcm")
    job_in(catalog, clock, JobState.DONE)
    step = RetentionStep(settings, catalog)

    clock.advance(6 * DAY)
    step.run_once()
    assert file.exists()

    clock.advance(2 * DAY)
    assert step.run_once()
    assert not file.exists()
    assert not step.run_once()


def test_source_of_a_failed_job_stays(settings: Settings, catalog: Catalog, clock: Clock, tmp_path: Path) -> None:
    file = add_file(catalog, tmp_path / "0.dcm")
    job_id = job_in(catalog, clock, JobState.TRANSLATING)
    catalog.fail_job(catalog.get_job(job_id), Problem("x", "Failed."))
    clock.advance(1000 * DAY)

    RetentionStep(settings, catalog).run_once()

    assert file.exists()


def test_null_keeps_files_for_ever(catalog: Catalog, clock: Clock, tmp_path: Path) -> None:
    settings = parse_settings({"node": {"data_dir": str(tmp_path)}, "retention": {"source_days": None}})
    file = add_file(catalog, tmp_path / "0.dcm")
    job_in(catalog, clock, JobState.DONE)
    clock.advance(1000 * DAY)

    RetentionStep(settings, catalog).run_once()

    assert file.exists()


def test_derived_folder_of_a_done_job_goes(settings: Settings, catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DONE)
    folder = settings.derived_dir / str(job_id)
    folder.mkdir(parents=True)
    clock.advance(8 * DAY)

    RetentionStep(settings, catalog).run_once()

    assert not folder.exists()
    assert catalog.derived_instances(job_id) == []


def test_quarantined_object_goes_and_its_row_stays(
    settings: Settings, catalog: Catalog, clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "object"
    file.write_bytes(b"not DICOM")
    catalog.quarantine_object(
        route="CECT_ART",
        calling_ae="PACS",
        peer="h",
        association_id=None,
        sop_instance_uid="1",
        path=file,
        size=9,
        reason=Problem("not_dicom", "Not DICOM."),
    )
    clock.advance(91 * DAY)

    RetentionStep(settings, catalog).run_once()

    assert not file.exists()
    assert [row.path for row in catalog.list_quarantine()] == [None]


def test_work_folder_goes_when_its_job_has_ended(settings: Settings, catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.TRANSLATING)
    at_work, left = settings.work_dir / f"{job_id}.abc", settings.work_dir / "99.abc"
    at_work.mkdir(parents=True)
    left.mkdir()

    RetentionStep(settings, catalog).run_once()

    assert at_work.exists()
    assert not left.exists()


def test_file_that_cannot_be_removed_holds_up_no_other(
    settings: Settings, catalog: Catalog, clock: Clock, tmp_path: Path
) -> None:
    folder = tmp_path / "0.dcm"
    folder.mkdir()  # cannot be unlinked
    catalog.add_instance(instance(0, path=folder))
    other = tmp_path / "1.dcm"
    other.write_bytes(b"a CT image")
    catalog.add_instance(instance(1, path=other))
    job_in(catalog, clock, JobState.DONE)
    clock.advance(8 * DAY)

    RetentionStep(settings, catalog).run_once()

    assert not other.exists()
    assert folder.exists()


def test_slice_that_came_late_for_any_job_goes(
    settings: Settings, catalog: Catalog, clock: Clock, tmp_path: Path
) -> None:
    job_in(catalog, clock, JobState.DONE)
    late = tmp_path / "late.dcm"
    late.write_bytes(b"a CT image")
    catalog.add_instance(instance(7, path=late))
    assert complete(catalog, clock, late="ignore") is None

    clock.advance(29 * DAY)
    RetentionStep(settings, catalog).run_once()
    assert late.exists()

    clock.advance(2 * DAY)
    RetentionStep(settings, catalog).run_once()
    assert not late.exists()


def test_derived_files_of_a_cancelled_job_go(settings: Settings, catalog: Catalog, clock: Clock) -> None:
    job_id = job_in(catalog, clock, JobState.DELIVERING)
    catalog.cancel_job(job_id)
    folder = settings.derived_dir / f"{job_id}.abc"
    folder.mkdir(parents=True)
    clock.advance(8 * DAY)

    RetentionStep(settings, catalog).run_once()

    assert not folder.exists()


def test_beyond_the_budget_files_go_before_their_time_and_no_more_than_needed(
    catalog: Catalog, clock: Clock, tmp_path: Path
) -> None:
    gib = 100 / 2**30  # each instance is said to have 100 bytes; three of them are over it
    settings = parse_settings(
        {"node": {"data_dir": str(tmp_path)}, "retention": {"source_days": 10, "max_gib": 2 * gib}}
    )
    job_in(catalog, clock, JobState.DONE)

    clock.advance(1 * DAY - 60)
    RetentionStep(settings, catalog).run_once()
    assert catalog.held_bytes() == 0

    catalog.add_instance(instance(1, series="1.2.9"))
    RetentionStep(settings, catalog).run_once()
    assert catalog.held_bytes() == 100


def test_rows_of_a_series_go_when_nobody_will_ask_any_more(settings: Settings, catalog: Catalog, clock: Clock) -> None:
    job_in(catalog, clock, JobState.DONE)
    clock.advance(8 * DAY)
    step = RetentionStep(settings, catalog)
    step.run_once()
    assert len(catalog.list_jobs()) == 1

    clock.advance(360 * DAY)
    step.run_once()

    assert catalog.list_jobs() == []
    assert catalog.list_series() == []


def test_rows_stay_while_there_are_files(catalog: Catalog, clock: Clock, tmp_path: Path) -> None:
    settings = parse_settings({"node": {"data_dir": str(tmp_path)}, "retention": {"source_days": None}})
    job_in(catalog, clock, JobState.DONE)
    clock.advance(1000 * DAY)

    RetentionStep(settings, catalog).run_once()

    assert len(catalog.list_series()) == 1
