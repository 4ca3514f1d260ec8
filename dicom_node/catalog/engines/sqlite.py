"""SQLite: a file, one node, a write-ahead log."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from dicom_node.catalog.engines.kind import Execute
from dicom_node.private import FILE_MODE, FOLDER_MODE

#: How long a writer waits for another process' transaction before it gives up.
BUSY_TIMEOUT_MS = 30_000

#: How SQLite says that a file is no database, or no longer a sound one.
_DAMAGED = ("file is not a database", "malformed")

#: How SQLite says that it cannot use the file it has opened. One opened while the disk could not be written is read-only for good, and one
#: opened before the disk went away never sees it come back.
_SPENT = ("readonly database", "disk I/O error", "unable to open database file")


class SQLite:
    """See `dicom_node.catalog.engines.kind.EngineKind`.

    Writers take the write lock at once (``BEGIN IMMEDIATE``), so a transaction never fails half way because another one
    wrote in between; readers never wait (write-ahead log). ``synchronous=FULL``: a committed row survives a power cut,
    which the listener needs because it answers a C-STORE only after the commit; it pays for that by committing many
    instances together.
    """

    remedy = "Check that data_dir exists, is writable and is on a local disk with free space."

    def __init__(self, url: URL, *, name: str) -> None:
        self._url, self.name = url, name

    def engine(self) -> Engine:
        """Connections to the file, which is made if there is none."""
        if self._url.database and self._url.database != ":memory:":
            _make_private_file(Path(self._url.database))
        engine = create_engine(self._url, pool_size=8, max_overflow=16, pool_timeout=30)
        _use_wal(engine)
        return engine

    def reading(self, engine: Engine) -> Engine:
        """A transaction of SQLite always reads one state."""
        return engine

    # Not in a listener for the engine's "begin": an engine with one takes a slower way through every statement.

    def begin_read(self, execute: Execute) -> None:
        """Begin the transaction."""
        execute("BEGIN")

    def begin_write(self, execute: Execute, *, alone: bool) -> None:
        """Begin the transaction; a writer is always alone."""
        execute("BEGIN IMMEDIATE")

    def time(self, execute: Execute) -> None:
        """It has the machine's clock, as its only node has."""

    def is_collision(self, error: BaseException | None) -> bool:
        """None can."""
        return False

    def is_damage(self, error: BaseException | None) -> bool:
        """Whether the file is no database."""
        return any(sign in str(error) for sign in _DAMAGED)

    def is_spent(self, error: BaseException | None) -> bool:
        """Whether the disk was not there or not writable when the file was opened, or went away since."""
        return any(sign in str(error) for sign in _SPENT)

    @contextmanager
    def rebuilding(self, connection: Connection) -> Iterator[None]:
        """With foreign keys off: to SQLite, dropping a table that is made anew would delete whatever refers to its rows."""
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # has no effect within a transaction
        try:
            yield
        finally:
            connection.rollback()  # what has not been committed
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")

    def dangling(self, connection: Connection) -> set[tuple[Any, ...]]:
        """(table, row, table referred to, number of the key)."""
        return {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}

    def lead(self, engine: Engine) -> "_OnlyNode":
        """There is no other node."""
        return _OnlyNode()


class _OnlyNode:
    def leads(self) -> bool:
        return True

    def close(self) -> None:
        pass


def _make_private_file(path: Path) -> None:
    """Make the file if there is none, so that SQLite, which gives its other files the same permissions, need not."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    with suppress(OSError):  # opening it will say why
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE))


def _use_wal(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(dbapi_connection: Any, _: Any) -> None:
        # The driver's own implicit BEGIN is deferred and comes too late; `Database` opens every transaction itself.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()
