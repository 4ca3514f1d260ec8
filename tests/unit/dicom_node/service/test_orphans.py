"""What a node that starts leaves alone, as another may be writing it."""

import os
import time
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog
from dicom_node.config import Settings, parse_settings
from dicom_node.receive.listener import prepare_spool
from dicom_node.receive.spool import Spool
from dicom_node.service.orphans import OrphanSweep


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    url = "postgresql+psycopg://localhost/s2ldm"
    return parse_settings({"node": {"data_dir": str(tmp_path / "var"), "database": url}})


@pytest.fixture
def spool(settings: Settings) -> Spool:
    spool = Spool(settings.node.data_dir, min_free_bytes=0)
    spool.prepare()
    return spool


@pytest.mark.parametrize("several", [True, False])
def test_unfinished_files_are_another_nodes_where_there_may_be_one(
    spool: Spool, settings: Settings, several: bool
) -> None:
    unfinished = settings.node.data_dir / "incoming" / "00" / "a.part"
    unfinished.write_bytes(b"half")

    prepare_spool(spool, several_nodes=several)

    assert unfinished.exists() is several


def test_files_on_their_way_to_their_rows_are_left_alone(spool: Spool, settings: Settings, catalog: Catalog) -> None:
    young, old = (settings.node.data_dir / "incoming" / "00" / f"{name}.dcm" for name in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"not an image")
    os.utime(old, (time.time() - 300, time.time() - 300))

    assert OrphanSweep(settings, catalog).recover()

    assert young.exists()
    assert [row.path.name for row in catalog.list_quarantine() if row.path] == ["old.dcm"]
