"""Types of columns, the same on every database."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, Dialect, Text, TypeDecorator


class UTCDateTime(TypeDecorator[datetime]):
    """Timezone-aware datetimes, stored as naive UTC because SQLite keeps no offset."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Python to database; a naive datetime is a programming error."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the catalog takes timezone-aware times only")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Database to Python."""
        return None if value is None else value.replace(tzinfo=UTC)


class JSONText(TypeDecorator[dict[str, Any]]):
    """A JSON object, as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:
        """Python to database."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        """Database to Python; text that is no JSON says so, and holds nothing else up."""
        try:
            return None if value is None else json.loads(value)
        except ValueError:
            return {"unreadable": True}


class PathText(TypeDecorator[Path]):
    """An absolute path, as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Path | None, dialect: Dialect) -> str | None:
        """Python to database."""
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Path | None:
        """Database to Python."""
        return None if value is None else Path(value)
