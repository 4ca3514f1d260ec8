"""Backup and restore of a node that receives meanwhile."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dicom_node.catalog import Catalog
from dicom_node.catalog.backup import back_up, restore
from dicom_node.cli.app import app
from dicom_node.errors import CatalogError
from tests.integration.test_receive import Receiver, start
from tests.integration.test_recovery import content, fill

__all__ = ["start"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """``run("backup", file)``: the command, with the configuration of the receiver."""
    path = tmp_path / "node.yaml"
    path.write_text(yaml.safe_dump({"node": {"data_dir": str(tmp_path / "var")}}))

    def command(*arguments: object) -> str:
        result = CliRunner().invoke(app, [*map(str, arguments), "--config", str(path)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return command


def test_restored_node_holds_what_came_before_and_after_the_backup_and_goes_on(
    start: Callable[..., Receiver], run: Callable[..., str], tmp_path: Path
) -> None:
    receiver = start()
    fill(receiver, range(3))
    run("backup", tmp_path / "backup.sqlite")
    fill(receiver, range(3, 5))
    before = content(receiver.catalog)
    for path in receiver.files():  # as if it had been a while
        os.utime(path, (path.stat().st_mtime - 100, path.stat().st_mtime - 100))
    receiver.catalog.open_association("after", called_ae="CECT_ART", calling_ae="PACS", peer="h")

    output = run("restore", tmp_path / "backup.sqlite")

    assert "2 images" in output
    assert content(receiver.catalog) == before  # by the connections that were open all the time
    assert "after" not in {one.id for one in receiver.catalog.open_associations()}
    fill(receiver, range(5, 6))
    assert len(content(receiver.catalog)) == 6
    assert list(tmp_path.glob("var/.catalog*")) == []


def test_backup_is_for_the_node_alone_and_replaces_the_one_before(
    start: Callable[..., Receiver], run: Callable[..., str], tmp_path: Path
) -> None:
    start()
    target = tmp_path / "backup.sqlite"
    run("backup", target)
    run("backup", target)

    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.glob("*backup*")) == ["backup.sqlite"]


@pytest.mark.parametrize("content_of_it", [b"", b"rubbish", b"SQLite format 3\0" + bytes(5000)])
def test_what_is_no_backup_is_refused_and_changes_nothing(
    start: Callable[..., Receiver], tmp_path: Path, content_of_it: bytes
) -> None:
    receiver = start()
    fill(receiver, range(1))
    odd = tmp_path / "odd"
    odd.write_bytes(content_of_it)

    with pytest.raises(CatalogError) as raised:
        restore(receiver.settings.catalog_location, odd)

    assert raised.value.code == "backup_unusable"
    assert len(content(receiver.catalog)) == 1


def test_damaged_catalog_is_named_as_such_and_a_backup_takes_its_place(
    start: Callable[..., Receiver], run: Callable[..., str], tmp_path: Path
) -> None:
    receiver = start()
    fill(receiver, range(1))
    before = content(receiver.catalog)
    receiver.listener.stop(grace_seconds=0.1)
    receiver.catalog.close()
    path = tmp_path / "var" / "catalog.sqlite"
    back_up(path, tmp_path / "backup.sqlite")
    path.write_bytes(b"rubbish" * 1000)

    with pytest.raises(CatalogError) as raised:
        Catalog(path)
    assert raised.value.code == "catalog_damaged"

    assert "is now" in run("restore", tmp_path / "backup.sqlite")
    with Catalog(path) as catalog:
        assert content(catalog) == before
    assert (tmp_path / "var" / "catalog.sqlite.damaged").exists()
