"""Statements put into the database's own words once, for those that are executed for every image.

SQLAlchemy looks a statement up in its cache, collects its parameters, and wraps cursor and result, each time: to record
an image that takes several times as long as the database does.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Dialect
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

_Row = Mapping[str, Any]


class Prepared:
    """A statement for one kind of database, executed by the driver's own cursor (`Database.write_bare`).

    Parameters
    ----------
    statement
        The statement. What it says of a value itself holds where a row says nothing else.
    dialect
        The database's dialect, of an engine that has connected.
    columns
        Of an ``INSERT``: the columns that a row gives.

    Attributes
    ----------
    sql
        The statement in the database's words.
    """

    def __init__(self, statement: ClauseElement, dialect: Dialect, *, columns: Sequence[str] | None = None) -> None:
        compiled = cast(SQLCompiler, statement.compile(dialect=dialect, column_keys=columns))
        self.sql = compiled.string
        self._positions = compiled.positiontup
        self._defaults = {name: value for name, value in compiled.params.items() if value is not None}
        converters = {
            name: parameter.type.dialect_impl(dialect).bind_processor(dialect)
            for name, parameter in compiled.binds.items()
        }
        self._converters = {name: convert for name, convert in converters.items() if convert is not None}

    def execute(self, cursor: DBAPICursor, row: _Row) -> None:
        """Execute it with the values of `row`, by parameter name."""
        cursor.execute(self.sql, self._values(row))

    def execute_many(self, cursor: DBAPICursor, rows: Sequence[_Row]) -> None:
        """Execute it for each of `rows`; for none, do nothing."""
        if rows:
            cursor.executemany(self.sql, [self._values(row) for row in rows])

    def _values(self, row: _Row) -> Any:
        values = {**self._defaults, **row}
        for name, convert in self._converters.items():
            values[name] = convert(values[name])
        # By position or by name, as the driver has it.
        return values if self._positions is None else tuple([values[name] for name in self._positions])
