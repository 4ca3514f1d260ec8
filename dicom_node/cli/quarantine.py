"""``quarantine``: received objects that cannot go on."""

from dataclasses import asdict
from typing import Annotated

import typer

from dicom_node.cli.jobs import open_catalog
from dicom_node.cli.output import ConfigOption, JsonOption, print_json, print_table, say, time_text
from dicom_node.config import load_settings

commands = typer.Typer(help="Quarantine: received objects that cannot go on.", no_args_is_help=True)


@commands.command("list", epilog="Example: s2ldm-node quarantine list")
def list_objects(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most objects to list, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List objects in quarantine, each with its reason."""
    with open_catalog(config) as catalog:
        rows = catalog.list_quarantine(limit=limit)
    if as_json:
        print_json([dict(row) | {"reason": asdict(row.reason)} for row in rows])
    elif rows:
        print_table(
            ("OBJECT", "FROM", "ROUTE", "RECEIVED", "REASON"),
            (
                (
                    row.id,
                    row.calling_ae,
                    row.route,
                    time_text(row.received_at),
                    f"{row.reason.sentence} {row.reason.remedy}",
                )
                for row in rows
            ),
        )
    else:
        say("There is nothing in quarantine.")


@commands.command("release", epilog="Example: s2ldm-node quarantine release 3 4")
def release_objects(
    keys: Annotated[list[int], typer.Argument(metavar="OBJECT...", help="Numbers from quarantine list.")],
    config: ConfigOption = None,
) -> None:
    """Take objects in as if they had come just now, once the cause of their quarantine is gone."""
    from dicom_node.receive.release import release

    settings = load_settings(config)
    with open_catalog(config) as catalog:
        for key in keys:
            outcome = release(catalog.get_quarantined(key), settings=settings, catalog=catalog)
            say(f"object {key} is {'held already' if outcome.value == 'same' else 'taken in'}")
