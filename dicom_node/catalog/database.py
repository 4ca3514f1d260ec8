"""Opening the database, its transactions and clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Table, false, insert, update
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dicom_node.catalog import schema
from dicom_node.catalog.clock_steps import ClockSteps
from dicom_node.catalog.database_clock import DatabaseClock
from dicom_node.catalog.engines import engine_kind
from dicom_node.catalog.engines.kind import Execute, Lead
from dicom_node.catalog.migrations import migrate
from dicom_node.errors import CatalogAwayError, CatalogError
from s2ldm_core.problem import Problem

#: Not answered, not written, no connection free: what is wrong with the database rather than with what it was asked.
_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)

#: How long a claim holds unless it is renewed: so long waits what a node held that was killed.
LEASE_SECONDS = 15.0


class Database:
    """One database, safe from several threads, several processes and, where its kind allows it, several machines.

    Parameters
    ----------
    location
        Path of an SQLite file, or an SQLAlchemy URL.
    clock
        Gives the current time, timezone-aware; default: the database's own, else that of this machine.
    monotonic
        Gives seconds that only run forwards, by which a step of ``clock`` and the silence of a `Lease`'s block are noticed;
        default: the system's, or those of a ``clock`` that is given.
    lease_seconds
        How long a claim holds unless it is renewed.

    Raises
    ------
    CatalogError
        ``catalog_unusable``, ``catalog_damaged``, ``catalog_version``, ``catalog_location`` or
        ``database_driver_missing``.
    """

    def __init__(
        self,
        location: Path | str,
        *,
        clock: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._database_clock = DatabaseClock() if clock is None else None
        self.now: Callable[[], datetime] = clock or self._database_clock or (lambda: datetime.now(UTC))
        self.monotonic = monotonic or (time.monotonic if clock is None else self._timestamp)
        self._clock_steps = ClockSteps(self.now, self.monotonic)
        self.lease_seconds = lease_seconds
        self._kind = engine_kind(location)
        self._where = self._kind.name
        self._engine = self._kind.engine()
        self._reading = self._kind.reading(self._engine)
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        try:
            self._migrate()
        except CatalogError:
            self._engine.dispose()
            raise
        except SQLAlchemyError as error:
            self._engine.dispose()
            if self._kind.is_damage(getattr(error, "orig", None)):
                raise CatalogError(
                    "catalog_damaged",
                    f"The catalog {self._where} is damaged: {getattr(error, 'orig', None)}.",
                    "Restore a backup with s2ldm-node restore; or move the file away: what was received is recorded anew.",
                ) from error
            raise CatalogAwayError(
                "catalog_unusable",
                f"The catalog {self._where} cannot be opened: {_said(error)}.",
                self._kind.remedy,
            ) from error

    @contextmanager
    def write(self, *, alone: bool = True) -> Iterator[Connection]:
        """One write transaction: committed at the end, rolled back on any error.

        ``alone``: no other writes meanwhile. Without, what it changes must be rows that nobody else changes, or that
        are locked one by one.

        Raises
        ------
        CatalogAwayError
            ``catalog_unusable``: the database does not answer or cannot be written; nothing is recorded then.
        """
        try:
            with self._engine.begin() as connection:
                self._begin_write(connection.exec_driver_sql, alone=alone)
                yield connection
        except _AWAY as error:
            raise self._unwritable(error) from error

    @contextmanager
    def write_bare(self, *, alone: bool = True) -> Iterator[DBAPICursor]:
        """One write transaction by the driver's own cursor, for statements that were prepared; ``alone`` as in `write`.

        Raises
        ------
        CatalogAwayError
            ``catalog_unusable`` for whatever the driver says; nothing is recorded then.
        """
        try:
            with closing(self._engine.raw_connection()) as connection:
                try:
                    cursor = connection.cursor()
                    self._begin_write(cursor.execute, alone=alone)
                    yield cursor
                    connection.commit()
                except BaseException:
                    connection.rollback()
                    raise
        except (self._driver_error, SQLAlchemyError) as error:
            raise self._unwritable(error) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent read snapshot; raises `CatalogAwayError` (``catalog_unusable``)."""
        try:
            with self._begun_read() as connection:
                yield connection
        except _AWAY as error:
            raise self._unwritable(error) from error

    def check(self) -> None:
        """Prove that the database answers and can be written; raises `CatalogError` (``catalog_unusable``)."""
        try:
            with self.write() as connection:
                # Of no row: what cannot be written refuses it none the less, and SQLite not before.
                connection.execute(update(schema.associations).where(false()).values(outcome=None))
        except SQLAlchemyError as error:
            raise self._unwritable(error) from error

    def lead(self) -> Lead:
        """The lead among the nodes on this database; whoever asks for it closes it."""
        return self._kind.lead(self._engine)

    def close(self) -> None:
        """Give back every connection. The catalog cannot be used afterwards."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unwritable(self, error: Exception) -> CatalogAwayError:
        if self._kind.is_spent(getattr(error, "orig", error)):
            self._engine.dispose()  # connections in use are closed as they come back
        return CatalogAwayError("catalog_unusable", f"The catalog {self._where} does not answer: {_said(error)}.")

    @contextmanager
    def _begun_read(self) -> Iterator[Connection]:
        with self._reading.connect() as connection:
            self._kind.begin_read(connection.exec_driver_sql)
            self._look_at_clock(connection.exec_driver_sql)
            yield connection

    def _begin_write(self, execute: Execute, *, alone: bool) -> None:
        self._kind.begin_write(execute, alone=alone)
        self._look_at_clock(execute)

    def _look_at_clock(self, execute: Execute) -> None:
        if self._database_clock is not None:
            self._database_clock.look(lambda: self._kind.time(execute))

    def _migrate(self) -> None:
        with self._begun_read() as connection:
            if migrate(connection, where=self._where, only_look=True):
                return
        with self._engine.connect() as connection, self._kind.rebuilding(connection):
            # One process does it, the others wait and find it done.
            self._kind.begin_write(connection.exec_driver_sql, alone=True)
            before = self._kind.dangling(connection)
            migrate(connection, where=self._where)
            if lost := self._kind.dangling(connection) - before:
                raise CatalogError(
                    "catalog_damaged",
                    f"In the catalog {self._where}, {len(lost)} rows would refer to others that are not there.",
                    "Nothing was changed. Keep the earlier version of the node, and report this.",
                )
            connection.commit()

    def _timestamp(self) -> float:
        return self.now().timestamp()

    def _lease(self) -> datetime:
        return self.now() + timedelta(seconds=self.lease_seconds)


def _said(error: Exception) -> str:
    """What the driver said of an error, without the values that may follow, or only its kind."""
    said = str(getattr(error, "orig", error) or "").strip()
    return said.splitlines()[0] if said else type(error).__name__


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
