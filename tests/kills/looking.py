"""What the catalog says, read from outside with SQL of our own: nothing of the node's takes part."""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.peers import PeerError

Rows = list[tuple[Any, ...]]
_AWAY_SECONDS = 60.0
#: How our connection calls itself, so that it is not taken for a node's.
APPLICATION = "kills"


class Look:
    """Reads one catalog.

    Parameters
    ----------
    location
        An SQLite file, which is opened for reading at each look and closed again, so that a killed node leaves what it
        leaves; or the URL of a PostgreSQL database.
    """

    def __init__(self, location: Path | str) -> None:
        self._location = location
        self._connection: psycopg.Connection[Any] | None = None

    def rows(self, statement: str, *values: Any) -> Rows:
        """What a SELECT gives, with ``values`` for its question marks; of a catalog that does not answer, once it does."""
        if isinstance(self._location, Path):
            return self._of_file(self._location, statement, values)
        deadline = time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                return self._of_server(statement, values)
            except psycopg.OperationalError as error:
                self.close()
                if time.monotonic() > deadline:
                    raise PeerError("the database does not come back") from error
                time.sleep(0.05)

    def number(self, statement: str, *values: Any) -> int:
        """The one number that a SELECT gives; 0 where there is no table yet."""
        found = self.rows(statement, *values)
        return int(found[0][0]) if found else 0

    def close(self) -> None:
        """Leave the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _of_file(path: Path, statement: str, values: Sequence[Any]) -> Rows:
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30.0)) as connection:
                return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError:
            if path.exists() and path.stat().st_size:
                raise
            return []

    def _of_server(self, statement: str, values: Sequence[Any]) -> Rows:
        if self._connection is None:
            url = str(self._location).replace("postgresql+psycopg://", "postgresql://")
            self._connection = psycopg.connect(url, autocommit=True, application_name=APPLICATION)
        return self._connection.execute(statement.replace("?", "%s").encode(), values).fetchall()
