"""The database under the catalog."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, select
from sqlalchemy.dialects import sqlite

from dicom_node.catalog import Catalog, JobState, Verdict
from dicom_node.catalog.prepared import Prepared
from dicom_node.catalog.schema import associations
from dicom_node.errors import CatalogError
from tests.catalog_jobs import Clock, answer, instance, job_in


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A file: what stands here is about SQLite; `test_several_nodes` has what is about PostgreSQL."""
    return tmp_path / "catalog.sqlite"


def test_commit_is_flushed_and_readers_do_not_block(catalog: Catalog, tmp_path: Path) -> None:
    with catalog.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert catalog.list_jobs() == []


def test_catalog_of_a_newer_node_is_refused(tmp_path: Path) -> None:
    location = tmp_path / "catalog.sqlite"
    Catalog(location).close()
    with sqlite3.connect(location) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(CatalogError) as raised:
        Catalog(location)

    assert raised.value.code == "catalog_version"


def test_file_that_is_no_database_is_an_error_with_a_reason(tmp_path: Path) -> None:
    location = tmp_path / "catalog.sqlite"
    location.write_bytes(b"this is not a database, however long the text may be" * 10)

    with pytest.raises(CatalogError) as raised:
        Catalog(location)

    assert raised.value.code == "catalog_damaged"


def test_frequent_queries_search_by_index(catalog: Catalog, clock: Clock, tmp_path: Path) -> None:
    """What the node asks every second must not read every row there ever was; sizes and times are not looked at."""
    job_id = job_in(catalog, clock, JobState.DELIVERING)
    executed: list[str] = []

    def trace(connection: Any, *_: object) -> None:
        connection.set_trace_callback(executed.append)

    event.listen(Engine, "checkout", trace)
    try:
        catalog.series_evidence()
        catalog.sweep_leases()
        catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "test")
        delivery = catalog.get_delivery(1)
        catalog.renew(delivery)
        catalog.list_deliveries(job_id=job_id)
        catalog.job_instances(job_id)
        catalog.delivery_instances(1)
        answer(catalog, delivery, "2.25.0", Verdict.ACCEPTED)
        catalog.add_instances([instance(7)])
    finally:
        event.remove(Engine, "checkout", trace)
    statements = [one for one in executed if one.startswith(("SELECT", "UPDATE"))]
    with sqlite3.connect(tmp_path / "catalog.sqlite") as raw:
        plans = [row[3] for one in statements for row in raw.execute(f"EXPLAIN QUERY PLAN {one}")]

    assert any("UPDATE series" in one for one in statements)
    assert any("USING INDEX" in one for one in plans)
    assert [one for one in plans if one.startswith("SCAN ") and one != "SCAN CONSTANT ROW"] == []


def test_unknown_job_is_an_error_with_a_reason(catalog: Catalog) -> None:
    with pytest.raises(CatalogError) as raised:
        catalog.get_job(99)

    assert raised.value.code == "job_unknown"


def test_instances_that_cannot_be_written_are_an_error_with_a_reason_and_leave_nothing(
    catalog: Catalog, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "catalog.sqlite") as raw:
        raw.execute("CREATE TRIGGER full BEFORE INSERT ON instances BEGIN SELECT RAISE(ABORT, 'disk is full'); END")

    with pytest.raises(CatalogError, match="disk is full") as raised:
        catalog.add_instances([instance(1)])

    assert raised.value.code == "catalog_unusable"
    assert catalog.list_series() == []
    with sqlite3.connect(tmp_path / "catalog.sqlite") as raw:
        raw.execute("DROP TRIGGER full")
    assert [str(outcome) for outcome in catalog.add_instances([instance(1)])] == ["new"]


@pytest.mark.parametrize("style", ["qmark", "named"])
def test_a_prepared_statement_takes_values_as_the_driver_has_them(catalog: Catalog, clock: Clock, style: Any) -> None:
    dialect = sqlite.dialect(paramstyle=style)
    columns = ["id", "called_ae", "calling_ae", "peer", "opened_at"]
    statement = Prepared(insert(associations), dialect, columns=columns)
    row = {"peer": "127.0.0.1", "id": "a", "called_ae": "CECT_ART", "calling_ae": "PACS", "opened_at": clock()}

    with catalog.write_bare() as cursor:
        statement.execute_many(cursor, [row, {**row, "id": "b"}])
        statement.execute_many(cursor, [])

    with catalog.read() as connection:
        written = connection.execute(select(associations).order_by(associations.c.id)).mappings().all()
    assert [one["id"] for one in written] == ["a", "b"]
    assert {name: written[0][name] for name in columns} == row


@pytest.mark.parametrize("bare", [False, True])
def test_a_connection_opened_on_a_read_only_disk_is_not_used_again(
    catalog: Catalog, tmp_path: Path, bare: bool
) -> None:
    """SQLite opens a file that it may not write for reading alone, and goes on so once the file may be written again."""
    engine: Engine = catalog._engine
    file = tmp_path / "catalog.sqlite"

    def opened_read_only(*_: Any) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)

    def write() -> None:
        if bare:
            with catalog.write_bare() as cursor:
                cursor.execute("UPDATE associations SET calling_ae = calling_ae")
        else:
            catalog.check()

    engine.dispose()
    event.listen(engine, "do_connect", opened_read_only)
    with pytest.raises(CatalogError, match="readonly database"):
        write()
    event.remove(engine, "do_connect", opened_read_only)
    write()
