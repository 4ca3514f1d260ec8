"""PostgreSQL: a server, several nodes.

What the catalog was written for is one writer at a time. Here that is a lock for readers and writers: a transaction that
looks at several rows before it changes some takes it ``alone``, one that changes rows of its own (a claim, an image, an
answer) together with others of its kind.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog.engines.kind import Execute
from dicom_node.errors import CatalogError

#: How long a transaction waits for another's lock before it gives up.
_LOCK_TIMEOUT_MS = 30_000
#: A node that stops within a transaction (it hangs, its machine is gone) holds up the others for so long.
_IDLE_TIMEOUT_MS = 30_000
#: How long a server that says nothing, or does not take what is sent, is waited for.
_CONNECT_SECONDS, _SILENCE_SECONDS = 5, 15
# First half of the keys of our advisory locks ("S2LD"), which other programs on the same database do not use.
_LOCKS = 0x53324C44
_WRITING, _LEADING = 1, 2

# unique_violation, serialization_failure, deadlock_detected
_COLLISIONS = ("23505", "40001", "40P01")

# Ours alone, where the server's setting would lose acknowledged rows.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
_PATIENCE = (
    f"SELECT set_config('lock_timeout', '{_LOCK_TIMEOUT_MS}', false), "
    f"set_config('idle_in_transaction_session_timeout', '{_IDLE_TIMEOUT_MS}', false)"
)


class PostgreSQL:
    """See `dicom_node.catalog.engines.kind.EngineKind`."""

    remedy = "Check that the database server runs, can be reached, and lets the user of node.database in."

    def __init__(self, url: URL, *, name: str) -> None:
        self._url, self.name = url, name

    def engine(self) -> Engine:
        """Connections to the server, each looked at before it is used: it may have been restarted meanwhile."""
        if find_spec("psycopg") is None:
            raise CatalogError(
                "database_driver_missing",
                "The driver for PostgreSQL, psycopg, is not installed.",
                "Install it with: pip install 's2ldm-node[postgres]'",
            )
        engine = create_engine(
            self._url,
            pool_size=5,
            max_overflow=10,
            pool_timeout=30,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "keepalives_idle": 5,
                "keepalives_interval": 3,
                "keepalives_count": 3,
                "tcp_user_timeout": _SILENCE_SECONDS * 1000,
            },
        )
        event.listen(engine, "connect", _set_up)
        return engine

    def reading(self, engine: Engine) -> Engine:
        """Several statements see one state only from ``REPEATABLE READ`` on."""
        return engine.execution_options(isolation_level="REPEATABLE READ")

    def begin_read(self, execute: Execute) -> None:
        """The driver begins a transaction by itself."""

    def begin_write(self, execute: Execute, *, alone: bool) -> None:
        """Take the lock; the transaction's end gives it back, however it ends."""
        execute(f"SELECT pg_advisory_xact_lock{'' if alone else '_shared'}({_LOCKS}, {_WRITING})")

    def time(self, execute: Execute) -> datetime | None:
        """The server's clock."""
        (now,) = execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'").fetchone()
        moment: datetime = now
        return moment.replace(tzinfo=UTC)

    def is_collision(self, error: BaseException | None) -> bool:
        """Whether both made the same row, or each waited for the other."""
        return getattr(error, "sqlstate", None) in _COLLISIONS

    def is_damage(self, error: BaseException | None) -> bool:
        """The server's own business."""
        return False

    def is_spent(self, error: BaseException | None) -> bool:
        """Connections are tried before each use."""
        return False

    @contextmanager
    def rebuilding(self, connection: Connection) -> Iterator[None]:
        """Tables need not be made anew."""
        yield

    def dangling(self, connection: Connection) -> set[tuple[Any, ...]]:
        """It takes none."""
        return set()

    def lead(self, engine: Engine) -> "_AdvisoryLead":
        """The lead, by a lock that lasts as long as a connection."""
        return _AdvisoryLead(engine, self.name)


class _AdvisoryLead:
    """Kept by one connection; a node that is gone loses it with that."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._name = name
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._leads = False

    def leads(self) -> bool:
        with self._lock:
            if self._leads and self._answers():
                return True
            try:
                if self._connection is None:
                    self._connection = self._engine.connect()
                taken = self._connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LOCKS}, {_LEADING})").scalar()
            except SQLAlchemyError as error:
                self._drop()
                raise CatalogError(
                    "catalog_unusable", f"The catalog {self._name} does not answer: {type(error).__name__}."
                ) from error
            self._leads = bool(taken)
            return self._leads

    def close(self) -> None:
        with self._lock:
            if self._leads and self._connection is not None:
                with suppress(SQLAlchemyError):  # at once; with its connection the lock would end, too, a little later
                    self._connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCKS}, {_LEADING})")
            self._drop()

    def _answers(self) -> bool:
        """Whether the connection lasts, and with it the lock."""
        try:
            if self._connection is not None:
                self._connection.exec_driver_sql("SELECT 1")
                return True
        except SQLAlchemyError:
            self._drop()
        return False

    def _drop(self) -> None:
        self._leads = False
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.invalidate()  # ended, not given back to the pool with the lock
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None


def _set_up(dbapi_connection: Any, _: Any) -> None:
    from psycopg.types.string import StrDumper

    class TextDumper(StrDumper):
        """Texts as PostgreSQL takes them: what a peer sent may hold NUL, or bytes that are no characters."""

        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\ufffd").encode("utf-8", "replace").decode())

    dbapi_connection.adapters.register_dumper(str, TextDumper)
    with dbapi_connection.cursor() as cursor:
        cursor.execute(_DURABLE)
        cursor.execute(_PATIENCE)
    dbapi_connection.commit()
