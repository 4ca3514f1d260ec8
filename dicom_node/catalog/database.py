"""Opening the database: SQLite with write-ahead logging, its transactions and clock."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, insert, make_url, select
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog import schema
from dicom_node.catalog.clock_steps import ClockSteps
from dicom_node.catalog.migrations import migrate
from dicom_node.errors import CatalogError
from dicom_node.private import FILE_MODE, FOLDER_MODE
from s2ldm_core.problem import Problem

#: How long a writer waits for another process' transaction before it gives up.
BUSY_TIMEOUT_MS = 30_000

#: How long a claim holds unless it is renewed: so long waits what a node held that was killed.
LEASE_SECONDS = 15.0

#: How SQLite says that a file is no database, or no longer a sound one.
_DAMAGED = ("file is not a database", "malformed")


class Database:
    """One database file (or URL), safe from several threads and several processes.

    Writers take the write lock at once (``BEGIN IMMEDIATE``), so a transaction never fails half way because another one
    wrote in between; readers never wait (write-ahead log). ``synchronous=FULL``: a committed row survives a power cut,
    which the listener needs because it answers a C-STORE only after the commit; it pays for that by committing many
    instances together.

    Parameters
    ----------
    location
        Path of an SQLite file, or an SQLAlchemy URL.
    clock
        Gives the current time, timezone-aware.
    monotonic
        Gives seconds that only run forwards, by which a step of ``clock`` is noticed; default: the system's, or those of
        a ``clock`` that is given.
    lease_seconds
        How long a claim holds unless it is renewed.

    Raises
    ------
    CatalogError
        ``catalog_unusable`` or ``catalog_version``.
    """

    def __init__(
        self,
        location: Path | str,
        *,
        clock: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.now = clock or (lambda: datetime.now(UTC))
        self._clock_steps = ClockSteps(self.now, monotonic or (time.monotonic if clock is None else self._timestamp))
        self.lease_seconds = lease_seconds
        url = make_url(location) if isinstance(location, str) and "://" in location else None
        self._where = url.render_as_string(hide_password=True) if url else str(location)
        if url is None:
            _make_private_file(Path(location))
            url = make_url("sqlite://").set(database=str(location))
        self._engine = create_engine(url, pool_size=8, max_overflow=16, pool_timeout=30)
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        self._is_sqlite = url.get_backend_name() == "sqlite"
        if self._is_sqlite:
            _use_wal(self._engine)
        try:
            self._migrate()
        except CatalogError:
            self._engine.dispose()
            raise
        except SQLAlchemyError as error:
            self._engine.dispose()
            if any(sign in str(getattr(error, "orig", "")) for sign in _DAMAGED):
                raise CatalogError(
                    "catalog_damaged",
                    f"The catalog {self._where} is damaged: {getattr(error, 'orig', None)}.",
                    "Restore a backup with s2ldm-node restore; or move the file away: what was received is recorded anew.",
                ) from error
            raise CatalogError(
                "catalog_unusable",
                f"The catalog {self._where} cannot be opened: {getattr(error, 'orig', None) or type(error).__name__}.",
                "Check that data_dir exists, is writable and is on a local disk with free space.",
            ) from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction: committed at the end, rolled back on any error."""
        with self._engine.begin() as connection:
            self._begin(connection, "BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def write_bare(self) -> Iterator[DBAPICursor]:
        """One write transaction by the driver's own cursor, for statements that were prepared.

        Raises
        ------
        CatalogError
            ``catalog_unusable`` for whatever the driver says; nothing is recorded then.
        """
        try:
            with closing(self._engine.raw_connection()) as connection:
                try:
                    cursor = connection.cursor()
                    if self._is_sqlite:
                        cursor.execute("BEGIN IMMEDIATE")
                    yield cursor
                    connection.commit()
                except BaseException:
                    connection.rollback()
                    raise
        except (self._driver_error, SQLAlchemyError) as error:
            raise self._unwritable(error) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent read snapshot."""
        with self._engine.connect() as connection:
            self._begin(connection, "BEGIN")
            yield connection

    def check(self) -> None:
        """Prove that the database answers and can be written; raises `CatalogError` (``catalog_unusable``)."""
        try:
            with self.write() as connection:
                connection.execute(select(func.count()).select_from(schema.associations))
        except SQLAlchemyError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Give back every connection. The catalog cannot be used afterwards."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unwritable(self, error: Exception) -> CatalogError:
        reason = getattr(error, "orig", None) or (
            error if isinstance(error, self._driver_error) else type(error).__name__
        )
        return CatalogError("catalog_unusable", f"The catalog {self._where} does not answer: {reason}.")

    def _begin(self, connection: Connection, statement: str) -> None:
        # Not in a listener for the engine's "begin": an engine with one takes a slower way through every statement.
        if self._is_sqlite:
            connection.exec_driver_sql(statement)

    def _migrate(self) -> None:
        with self.read() as connection:
            if migrate(connection, where=self._where, only_look=True):
                return
        with self._engine.connect() as connection, self._rebuilding(connection):
            self._begin(connection, "BEGIN IMMEDIATE")  # one process does it, the others wait and find it done
            before = self._dangling(connection)
            migrate(connection, where=self._where)
            if lost := self._dangling(connection) - before:
                raise CatalogError(
                    "catalog_damaged",
                    f"In the catalog {self._where}, {len(lost)} rows would refer to others that are not there.",
                    "Nothing was changed. Keep the earlier version of the node, and report this.",
                )
            connection.commit()

    @contextmanager
    def _rebuilding(self, connection: Connection) -> Iterator[None]:
        """With foreign keys off: to SQLite, dropping a table that is made anew would delete whatever refers to its rows."""
        if not self._is_sqlite:
            yield
            return
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # has no effect within a transaction
        try:
            yield
        finally:
            connection.rollback()  # what has not been committed
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")

    def _dangling(self, connection: Connection) -> set[tuple[Any, ...]]:
        """Rows whose foreign keys lead nowhere: (table, row, table referred to, number of the key)."""
        if not self._is_sqlite:
            return set()
        return {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}

    def _timestamp(self) -> float:
        return self.now().timestamp()

    def _lease(self) -> datetime:
        return self.now() + timedelta(seconds=self.lease_seconds)


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


def reason_values(reason: Problem | None) -> dict[str, str | None]:
    """A reason as column values; None clears it."""
    if reason is None:
        return {"reason_code": None, "reason_sentence": None, "reason_remedy": None}
    return {"reason_code": reason.code, "reason_sentence": reason.sentence, "reason_remedy": reason.remedy}


def unclaimed() -> dict[str, Any]:
    """Column values of a row that nobody works on."""
    return {"worker": None, "claimed_until": None}


def insert_row(connection: Connection, table: Table, **values: Any) -> int:
    """Insert one row and return its number."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    if key is None:
        raise CatalogError("catalog_unusable", f"The database gave a row of {table.name} no number.")
    return int(key[0])
