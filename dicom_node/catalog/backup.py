"""The catalog to a file and back, while nodes work with it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dicom_node.catalog.catalog import Catalog
from dicom_node.catalog.engines.sqlite import BUSY_TIMEOUT_MS
from dicom_node.errors import CatalogError
from dicom_node.private import FILE_MODE
from s2ldm_core.files import atomic_path, sync_folder

#: Tables of which one says that a database is a catalog, of whichever version.
_MARKS = ("alembic_version", "schema_version")


def back_up(location: Path | str, target: Path) -> None:
    """Write a consistent copy of the catalog as it is at this moment; whoever writes to it meanwhile need not wait long.

    Raises
    ------
    CatalogError
        ``no_catalog``, ``backup_elsewhere``, or ``catalog_unusable``.
    OSError
        The target cannot be written.
    """
    source = _file_of(location)
    if not source.is_file():
        raise CatalogError(
            "no_catalog", f"There is no catalog at {source}.", "Name the node's configuration with --config."
        )
    with atomic_path(target) as partial:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
        with _opened(source) as live, _opened(partial) as copy, _errors_of(source):
            live.backup(copy)
            # One file, whatever is beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(target.absolute().parent)


def restore(location: Path | str, backup: Path) -> None:
    """Put a backup in the catalog's place, in one transaction; nodes that work with it go on with what it holds.

    Claims of the work that they have at hand are gone with it, so that nothing of that is recorded. The backup of an
    earlier version becomes one of the present tables first; it is left as it is itself.

    Raises
    ------
    CatalogError
        ``backup_unusable``, ``catalog_version``, ``backup_elsewhere``, or ``catalog_unusable``.
    """
    target = _file_of(location)
    _check(backup)
    copy = target.with_name(f".{target.name}.restored")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        back_up(backup, copy)
        Catalog(copy).close()
        Catalog(target).close()
        with _opened(copy) as source, _opened(target) as live, _errors_of(target):
            source.backup(live)
    finally:
        for path in (copy, *(copy.with_name(copy.name + ending) for ending in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)


def set_damaged_aside(location: Path | str) -> Path | None:
    """Move a catalog that is no database any more out of the way, with its other files; its new place, None if it is one.

    Only where no node works with it.
    """
    path = _file_of(location)
    try:
        if path.is_file():
            Catalog(path).close()
        return None
    except CatalogError as error:
        if error.code != "catalog_damaged":
            raise
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    return aside


def _check(backup: Path) -> None:
    try:
        with _opened(backup) as database:
            sound = database.execute("PRAGMA quick_check").fetchone() == ("ok",)
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        sound, tables = False, set()
    if not sound or not tables.intersection(_MARKS):
        raise CatalogError(
            "backup_unusable",
            f"{backup} is no backup of a catalog, or is damaged.",
            "Name a file that s2ldm-node backup has written. The catalog was left as it is.",
        )


def _file_of(location: Path | str) -> Path:
    if isinstance(location, str) and "://" in location:
        prefix, _, path = location.partition(":///")
        if prefix.partition("+")[0] != "sqlite" or not path:
            raise CatalogError(
                "backup_elsewhere",
                "The catalog is not an SQLite file.",
                "Use its database's own programs: with PostgreSQL pg_dump --format=custom, and pg_restore --clean while no "
                "node runs.",
            )
        return Path(path)
    return Path(location)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000)) as connection:
        yield connection


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CatalogError("catalog_unusable", f"The catalog {path} cannot be copied: {error}.") from error
