"""What every kind of database offers."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

#: Executes a statement in the database's own words, on a connection or on the driver's cursor.
Execute = Callable[[str], Any]


class Lead(Protocol):
    """Says which of the nodes on one database does the work that one alone does."""

    def leads(self) -> bool:
        """Whether it is this one; who leads does so until `close` or the end of its connection.

        Raises
        ------
        CatalogError
            ``catalog_unusable``: the database does not answer.
        """

    def close(self) -> None:
        """Leave it to another."""


class EngineKind(Protocol):
    """A kind of database, with one location."""

    #: What people call the location; without a password.
    name: str
    #: What to look at when it cannot be opened.
    remedy: str

    def engine(self) -> Engine:
        """Connections to it, in a pool; raises `CatalogError` (``database_driver_missing``)."""

    def reading(self, engine: Engine) -> Engine:
        """The same pool, for transactions that read one consistent state."""

    def begin_read(self, execute: Execute) -> None:
        """What comes first in a transaction that reads."""

    def begin_write(self, execute: Execute, *, alone: bool) -> None:
        """What comes first in a transaction that writes; ``alone``: while no other does."""

    def time(self, execute: Execute) -> datetime | None:
        """The database's time of day (UTC); None: it has no clock of its own."""

    def is_collision(self, error: BaseException | None) -> bool:
        """Whether a driver's error says that another transaction came in between: ``alone`` it would not have."""

    def is_damage(self, error: BaseException | None) -> bool:
        """Whether a driver's error says that the database is no longer a sound one."""

    def is_spent(self, error: BaseException | None) -> bool:
        """Whether a driver's error may be the connection's alone for good, so that it must not be used again."""

    def rebuilding(self, connection: Connection) -> AbstractContextManager[None]:
        """A connection on which tables can be made anew without losing what refers to their rows."""

    def dangling(self, connection: Connection) -> set[tuple[Any, ...]]:
        """Rows whose foreign keys lead nowhere, where the database itself does not see to that."""

    def lead(self, engine: Engine) -> Lead:
        """The lead among the nodes on it."""
