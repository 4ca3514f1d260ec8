"""Making an older catalog a newer one, by Alembic; ``versions`` has one file a step."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from dicom_node.errors import CatalogError

#: The last step; the catalog's tables are then those of `dicom_node.catalog.schema` (tested).
HEAD = "0014"
#: What the first version wrote, which knew no Alembic: it has a table ``schema_version``.
_FIRST = "0001"


def migrate(connection: Connection, *, where: str, only_look: bool = False) -> bool:
    """Bring a database to the present tables, in the transaction of ``connection``.

    Parameters
    ----------
    where
        What the error calls the database.
    only_look
        Change nothing.

    Returns
    -------
    bool
        Whether the tables are the present ones.

    Raises
    ------
    CatalogError
        ``catalog_version``: the database was written by a newer node.
    """
    tables = set(inspect(connection).get_table_names())
    version = None
    if "alembic_version" in tables:
        version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    elif "schema_version" in tables:
        version = _FIRST
    if version == HEAD:
        return True
    if version is not None and version > HEAD:
        raise CatalogError(
            "catalog_version",
            f"The catalog {where} was written by a newer node (schema {version}; this one knows {HEAD}).",
            "Start the newer version of the node, or point data_dir elsewhere.",
        )
    if not only_look:
        _upgrade(connection, stamp=_FIRST if version == _FIRST and "alembic_version" not in tables else None)
    return not only_look


def _upgrade(connection: Connection, *, stamp: str | None) -> None:
    # Imported late: most starts find nothing to do.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    if stamp is not None:
        command.stamp(config, stamp)
    command.upgrade(config, "head")
