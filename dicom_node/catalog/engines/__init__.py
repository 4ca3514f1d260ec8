"""What the catalog runs on: one file for each kind of database."""

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from dicom_node.catalog.engines.kind import EngineKind
from dicom_node.catalog.engines.postgresql import PostgreSQL
from dicom_node.catalog.engines.sqlite import SQLite
from dicom_node.errors import CatalogError

__all__ = ["EngineKind", "engine_kind"]


def engine_kind(location: Path | str) -> EngineKind:
    """What a location says: the path of an SQLite file, or an SQLAlchemy URL.

    Raises
    ------
    CatalogError
        ``catalog_location``: the URL cannot be read. ``database_driver_missing``.
    """
    if isinstance(location, Path) or "://" not in location:
        return SQLite(make_url("sqlite://").set(database=str(location)), name=str(location))
    try:
        url = make_url(location)
    except (ArgumentError, ValueError):
        raise CatalogError(
            "catalog_location",
            "The URL of the catalog cannot be read.",
            "Write node.database as postgresql+psycopg://user@host:5432/database; %40 stands for @ in a password.",
        ) from None  # the error quotes the URL
    name = url.render_as_string(hide_password=True)
    return PostgreSQL(url, name=name) if url.get_backend_name() == "postgresql" else SQLite(url, name=name)
