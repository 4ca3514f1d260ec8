"""Opening the database: SQLite with write-ahead logging, its transactions, schema version and clock."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, insert, inspect, make_url, select
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog import schema
from dicom_node.catalog.rows import Reason
from dicom_node.errors import CatalogError

#: How long a writer waits for another process' transaction before it gives up.
BUSY_TIMEOUT_MS = 30_000

#: Steps from one schema version to the next: ``MIGRATIONS[n]`` turns version n into n + 1.
MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {}


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

    Raises
    ------
    CatalogError
        ``catalog_unusable`` or ``catalog_version``.
    """

    def __init__(self, location: Path | str, *, clock: Callable[[], datetime] | None = None) -> None:
        self.now = clock or (lambda: datetime.now(UTC))
        url = make_url(location) if isinstance(location, str) and "://" in location else None
        self._where = url.render_as_string(hide_password=True) if url else str(location)
        if url is None:
            Path(location).parent.mkdir(parents=True, exist_ok=True)
            url = make_url("sqlite://").set(database=str(location))
        self._engine = create_engine(url, pool_size=8, max_overflow=16, pool_timeout=30)
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        self._is_sqlite = url.get_backend_name() == "sqlite"
        if self._is_sqlite:
            _use_wal(self._engine)
        try:
            self._migrate()
        except SQLAlchemyError as error:
            self._engine.dispose()
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
                connection.execute(select(func.count()).select_from(schema.schema_version))
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
        with self.write() as connection:
            if not inspect(connection).has_table(schema.schema_version.name):
                schema.metadata.create_all(connection)
                self._stamp(connection, schema.SCHEMA_VERSION)
                return
            version = connection.scalar(select(func.max(schema.schema_version.c.version))) or 0
            if version > schema.SCHEMA_VERSION:
                raise CatalogError(
                    "catalog_version",
                    f"The catalog {self._where} was written by a newer node (schema {version}; "
                    f"this one knows {schema.SCHEMA_VERSION}).",
                    "Start the newer version of the node, or point data_dir elsewhere.",
                )
            while version < schema.SCHEMA_VERSION:
                MIGRATIONS[version](connection)
                version += 1
                self._stamp(connection, version)

    def _stamp(self, connection: Connection, version: int) -> None:
        connection.execute(insert(schema.schema_version).values(version=version, applied_at=self.now()))


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


def reason_of(row: Mapping[Any, Any]) -> Reason | None:
    """The reason columns of a row as a value."""
    if not row["reason_code"]:
        return None
    return Reason(code=row["reason_code"], sentence=row["reason_sentence"] or "", remedy=row["reason_remedy"] or "")


def reason_values(reason: Reason | None) -> dict[str, str | None]:
    """A reason as column values; None clears it. Codes are lower case here, whichever package they come from."""
    if reason is None:
        return {"reason_code": None, "reason_sentence": None, "reason_remedy": None}
    return {"reason_code": reason.code.lower(), "reason_sentence": reason.sentence, "reason_remedy": reason.remedy}


def insert_row(connection: Connection, table: Table, **values: Any) -> int:
    """Insert one row and return its number."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    if key is None:
        raise CatalogError("catalog_unusable", f"The database gave a row of {table.name} no number.")
    return int(key[0])


def path_of(value: str | None) -> Path | None:
    """A path column as a path."""
    return None if value is None else Path(value)


__all__ = ["BUSY_TIMEOUT_MS", "Database", "insert_row", "path_of", "reason_of", "reason_values"]
