"""A catalog that an earlier version wrote is opened by this one, with everything in it."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dicom_node.catalog import Catalog, DeliveryState, JobState, Verdict
from dicom_node.catalog.schema import conflicts, jobs, metadata
from s2ldm_core.problem import Problem
from tests.catalog_jobs import Clock
from tests.paths import ROOT

#: What the first version wrote: a job in every state, the claimed ones as a kill left them (``Connection.iterdump``).
FIRST = ROOT / "tests" / "data" / "catalog_0001.sql"
#: Before a phase was part of what a job is: two jobs of a series, the second of which replaces the first, one refused,
#: their derived series with a note, deliveries, and quarantined objects of the series and of none.
BEFORE_PHASES = ROOT / "tests" / "data" / "catalog_0006.sql"


@pytest.fixture
def location(tmp_path: Path) -> Path:
    location = tmp_path / "catalog.sqlite"
    with sqlite3.connect(location) as raw:
        raw.executescript(FIRST.read_text())
    return location


def test_tables_of_a_new_catalog_are_those_of_the_schema(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.sqlite") as catalog, catalog.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_tables_of_a_migrated_catalog_are_those_of_the_schema(location: Path) -> None:
    with Catalog(location) as catalog, catalog.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def _rows(location: Path, columns: dict[str, list[str]]) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(location) as raw:
        return {
            name: raw.execute(f"SELECT {', '.join(known)} FROM {name} ORDER BY 1, 2").fetchall()  # noqa: S608
            for name, known in columns.items()
        }


def _columns(location: Path) -> dict[str, list[str]]:
    with sqlite3.connect(location) as raw:
        names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [column[1] for column in raw.execute(f"PRAGMA table_info({name})")]
            for name in names
            if name in metadata.tables
        }


def test_jobs_table_is_made_anew_without_losing_what_refers_to_it(tmp_path: Path) -> None:
    location = tmp_path / "catalog.sqlite"
    with sqlite3.connect(location) as raw:
        raw.executescript(BEFORE_PHASES.read_text())
    columns = _columns(location)
    before = _rows(location, columns)
    told = ("jobs", "job_instances", "derived_instances", "deliveries", "delivery_instances", "quarantine")
    assert all(before[name] for name in told)

    with Catalog(location, clock=Clock()) as catalog:
        assert _rows(location, columns) == before
        first, second = catalog.get_job(1), catalog.get_job(2)
        assert (first.superseded_by, second.supersedes) == (2, (1,))
        with catalog.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        with catalog.write() as connection:  # foreign keys are in force again, and lead to the table made anew
            connection.execute(jobs.delete().where(jobs.c.id == 1))
        assert catalog.list_deliveries(job_id=1) == []
        assert len(catalog.list_deliveries(job_id=2)) == 2


def test_jobs_of_the_first_version_go_on_where_they_were(location: Path) -> None:
    with Catalog(location) as catalog:
        before = {job.id: job.state for job in catalog.list_jobs()}
        assert set(before.values()) == set(JobState) - {JobState.FAILED, JobState.CANCELLED}

        assert catalog.sweep_leases() == 4  # selecting, translating, deriving, sending

        after = {job.id: job for job in catalog.list_jobs()}
        moved = {before[key]: job.state for key, job in after.items() if job.state is not before[key]}
        assert moved == {JobState.TRANSLATING: JobState.QUEUED, JobState.DERIVING: JobState.TRANSLATED}
        assert catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "select") is not None
        assert after[8].reason == Problem("not_dicom", "Not DICOM.", "Look at the sender.")
        assert after[4].details == {"slices": 3}
        assert after[4].result_path == Path("/r")
        assert catalog.open_associations() == []


def test_what_a_peer_had_accepted_is_not_sent_again(location: Path) -> None:
    with Catalog(location) as catalog:
        catalog.sweep_leases()
        (waiting,) = catalog.list_deliveries(state=DeliveryState.PENDING)
        first, *rest = catalog.delivery_instances(waiting.id)

    assert (first.verdict, first.status) == (Verdict.ACCEPTED, 0xB000)
    assert [(one.accepted, one.status) for one in rest] == [(False, 0xA700), (False, None)]


def test_migrated_catalog_is_opened_again_and_written(location: Path) -> None:
    Catalog(location).close()
    with Catalog(location, clock=Clock()) as catalog:
        assert len(catalog.list_jobs()) == 8
        assert len(catalog.list_quarantine()) == 1
        assert catalog.rejected_peers()[0].reason.code == "called_ae_unknown"
        catalog.check()


def test_conflicts_of_an_earlier_version_can_be_settled(location: Path) -> None:
    with sqlite3.connect(location) as raw:
        raw.execute("UPDATE series SET conflict_count = 2 WHERE id = 1")
        raw.execute("UPDATE quarantine SET series_id = 1, job_id = NULL")
    with Catalog(location) as catalog, catalog.read() as connection:
        found = connection.execute(conflicts.select()).mappings().all()
    assert [(row["series_id"], row["fresh"], row["confirmed"]) for row in found] == [(1, False, False)]


def test_images_of_an_earlier_version_are_in_their_jobs_derived_series(tmp_path: Path) -> None:
    location = tmp_path / "catalog.sqlite"
    with sqlite3.connect(location) as raw:
        raw.executescript(BEFORE_PHASES.read_text())
    with Catalog(location, clock=Clock()) as catalog:
        assert [one.series_instance_uid for one in catalog.derived_instances(1)] == ["2.25.9"] * 3
        assert [one.series_instance_uid for one in catalog.derived_instances(2)] == ["2.25.2"] * 4 + [""]
        (standing,) = catalog.held_derived()
        assert (standing.series_instance_uid, standing.count) == ("2.25.2", 4)
