"""The database under the catalog."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalog_jobs import Clock

from dicom_node.catalog import Catalog
from dicom_node.errors import CatalogError


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(tmp_path: Path, clock: Clock) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite", clock=clock) as catalog:
        yield catalog


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
        raw.execute("INSERT INTO schema_version VALUES (99, '2026-01-01 00:00:00')")

    with pytest.raises(CatalogError) as raised:
        Catalog(location)

    assert raised.value.code == "catalog_version"


def test_file_that_is_no_database_is_an_error_with_a_reason(tmp_path: Path) -> None:
    location = tmp_path / "catalog.sqlite"
    location.write_bytes(b"this is not a database, however long the text may be" * 10)

    with pytest.raises(CatalogError) as raised:
        Catalog(location)

    assert raised.value.code == "catalog_unusable"


def test_unknown_job_is_an_error_with_a_reason(catalog: Catalog) -> None:
    with pytest.raises(CatalogError) as raised:
        catalog.get_job(99)

    assert raised.value.code == "job_unknown"
