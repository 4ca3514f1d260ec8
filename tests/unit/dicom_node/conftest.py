"""Fixtures of the node's tests: a catalog whose clock only moves when told to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog
from tests.catalog_jobs import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(tmp_path: Path, clock: Clock) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite", clock=clock) as catalog:
        yield catalog
