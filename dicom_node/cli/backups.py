"""``backup`` and ``restore``."""

import time
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.output import ConfigOption, say

#: A file that is younger may be on its way to its row at this moment.
_YOUNG_SECONDS = 60.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: s2ldm-node backup /backup/node.sqlite")(backup)
    app.command(epilog="Example: s2ldm-node restore /backup/node.sqlite")(restore)


def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", dir_okay=False, help="Where the copy goes; replaced if there.")
    ],
    config: ConfigOption = None,
) -> None:
    """Copy the catalog of a node, running or not, to a file.

    It holds everything but the images themselves: back up data_dir/incoming and data_dir/quarantine after it, as files.
    """
    from dicom_node.catalog.backup import back_up
    from dicom_node.config import load_settings
    from dicom_node.errors import NodeError

    try:
        back_up(load_settings(config).catalog_location, file)
    except OSError as error:
        raise NodeError("backup_unwritable", f"{file} cannot be written: {error.strerror or error}.") from error
    say(f"{file}, {file.stat().st_size / 2**20:.1f} MiB")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A backup.")],
    config: ConfigOption = None,
) -> None:
    """Put a backup in the place of the catalog of a node, running or not, and record what has come since.

    Series that were received after the backup are found in data_dir/incoming and become jobs again.
    """
    from dicom_node.catalog import Catalog
    from dicom_node.catalog.backup import restore as put_back
    from dicom_node.catalog.backup import set_damaged_aside
    from dicom_node.config import load_settings
    from dicom_node.receive.recovery import SpoolRecovery
    from dicom_node.service.lock import DataDirLock

    settings = load_settings(config)
    if not DataDirLock.is_held(settings.node.data_dir) and (aside := set_damaged_aside(settings.catalog_location)):
        say(f"The damaged catalog is now {aside}.")
    put_back(settings.catalog_location, file)
    with Catalog(settings.catalog_location) as catalog:
        recovery = SpoolRecovery(settings, catalog)
        recovery.prepare()
        found = recovery.run(sealed_before=time.time() - _YOUNG_SECONDS)
    say(f"Restored. {found.recorded} images that it did not know of were found and recorded.")
