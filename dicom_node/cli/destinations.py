"""``destinations``: where derived series go, and whether they can."""

from typing import Annotated

import typer

from dicom_node.cli.jobs import open_catalog
from dicom_node.cli.output import ConfigOption, JsonOption, print_json, print_table, say
from dicom_node.config import load_settings
from dicom_node.errors import CatalogError, ConfigError, DeliverError
from dicom_node.service.destination_check import check_destination
from s2ldm_core.documents import nearest

commands = typer.Typer(help="Destinations: where derived series go.", no_args_is_help=True)


@commands.command("list", epilog="Example: s2ldm-node destinations list")
def list_destinations(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the destinations, each with the deliveries that wait for it and those in quarantine."""
    settings = load_settings(config)
    try:
        with open_catalog(config) as catalog:
            counts = catalog.count_deliveries()
    except CatalogError as error:
        if error.code != "no_catalog":
            raise
        counts = {}
    if as_json:
        print_json(
            {
                name: one.model_dump(mode="json")
                | {"deliveries": {state: number for (to, state), number in counts.items() if to == name}}
                for name, one in settings.destinations.items()
            }
        )
        return
    print_table(
        ("DESTINATION", "TYPE", "PAUSED", "WAITING", "QUARANTINE", "DONE"),
        (
            (
                name,
                one.type,
                "paused" if one.paused else "",
                counts.get((name, "pending"), 0) + counts.get((name, "sending"), 0),
                counts.get((name, "failed"), 0),
                counts.get((name, "done"), 0),
            )
            for name, one in settings.destinations.items()
        ),
    )


@commands.command("check", epilog="Example: s2ldm-node destinations check pacs")
def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Default: all.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Ask destinations whether they are there and take what is sent to them: a DICOM peer with C-ECHO. Nothing is stored."""
    settings = load_settings(config)
    unknown = [name for name in names or () if name not in settings.destinations]
    if unknown:
        raise ConfigError(
            "destination_unknown",
            f"There is no destination {unknown[0]!r}{nearest(unknown[0], settings.destinations)}.",
            "s2ldm-node destinations list names those that there are.",
        )
    wrong: list[str] = []
    for name in names or settings.destinations:
        try:
            found = check_destination(name, settings)
        except DeliverError as error:
            wrong.append(name)
            found = f"WRONG: {error.sentence} {error.remedy}".rstrip()
        say(f"{name}: {found}")
    if wrong:
        raise DeliverError(
            "destinations_wrong",
            f"{len(wrong)} of {len(names or settings.destinations)} destinations: {', '.join(wrong)}.",
        )
