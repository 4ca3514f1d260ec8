"""What the catalog remembers, it remembers on every kind of database: each test with a catalog runs on both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog
from tests import postgres
from tests.catalog_jobs import Clock


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[postgres.Database]:
    """One database for all tests, which is emptied before each."""
    if why := postgres.missing():
        pytest.skip(why)
    with postgres.server(**postgres.QUICK) as server:
        yield postgres.Database(server)


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an empty catalog is, or can be made."""
    if request.param == "sqlite":
        return tmp_path / "catalog.sqlite"
    database: postgres.Database = request.getfixturevalue("postgres_database")
    return database.emptied()


@pytest.fixture
def catalog(location: Path | str, clock: Clock) -> Iterator[Catalog]:
    with Catalog(location, clock=clock) as catalog:
        yield catalog
