"""Whether a catalog's database answers, without opening the catalog, which would migrate it."""

from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog.engines import engine_kind
from dicom_node.errors import CatalogAwayError


def reach(location: Path | str) -> str:
    """What answers, without a password.

    Raises
    ------
    CatalogError
        ``catalog_unusable``, ``catalog_location`` or ``database_driver_missing``.
    """
    kind = engine_kind(location)
    engine = kind.engine()
    try:
        with engine.connect():
            version = ".".join(map(str, engine.dialect.server_version_info or ()))
    except SQLAlchemyError as error:
        raise CatalogAwayError(
            "catalog_unusable", f"The database {kind.name} cannot be reached ({type(error).__name__}).", kind.remedy
        ) from error
    finally:
        engine.dispose()
    return f"{kind.name}, {engine.dialect.name} {version}"
