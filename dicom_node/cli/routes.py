"""``routes``: what each called AE title does, and what it would do with a folder."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.output import ConfigOption, JsonOption, print_json, print_table
from dicom_node.config import load_settings
from dicom_node.errors import NodeError

commands = typer.Typer(help="Routes: called AE titles.", no_args_is_help=True)


@commands.command("list", epilog="Example: s2ldm-node routes list")
def list_routes(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the routes."""
    settings = load_settings(config)
    if as_json:
        print_json({title: route.model_dump(mode="json") for title, route in settings.routes.items()})
        return
    print_table(
        ("CALLED AE TITLE", "PHASE", "MODEL", "OUTPUT", "MIN SLICES", "DESTINATIONS"),
        (
            (title, route.phase, route.model, route.output, settings.min_slices(title), ", ".join(route.destinations))
            for title, route in settings.routes.items()
        ),
    )


@commands.command("test", epilog="Example: s2ldm-node routes test /data/some-study")
def try_routes(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with DICOM files.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say, for every series in a folder, which routes would translate it, and why not. Nothing is sent or stored."""
    from dicom_node.series import examine_series
    from dicom_node.series.headers import SELECTION_KEYWORDS
    from dicom_node.service.models import model_min_slices
    from s2ldm_core.io.series import group_by_series

    settings = load_settings(config)
    not_dicom: list[Path] = []
    groups = group_by_series(
        (path for path in sorted(folder.rglob("*")) if path.is_file()),
        keep=lambda path, _: path,
        unusable=lambda path, _: not_dicom.append(path),
        keywords=SELECTION_KEYWORDS,
    )
    if not groups:
        raise NodeError("no_series", f"There is no DICOM series in {folder}.", "Name a folder with DICOM files.")
    rows = []
    for uid, found in groups.items():
        for title, route in settings.routes.items():
            least = max(settings.min_slices(title), model_min_slices(route.model))
            decision = examine_series(found.files, route=route, min_slices=least)
            rows.append(
                {
                    "series": uid,
                    "route": title,
                    "images": len(found.files),
                    "accepted": decision.accepted,
                    "code": decision.code,
                    "reason": decision.reason,
                    "details": dict(decision.details),
                }
            )
    if as_json:
        print_json({"decisions": rows, "not_dicom": len(not_dicom)})
        return
    print_table(
        ("SERIES", "IMAGES", "ROUTE", "DECISION", "REASON"),
        (
            (row["series"], row["images"], row["route"], "translate" if row["accepted"] else "refuse", row["reason"])
            for row in rows
        ),
    )
    if not_dicom:
        typer.echo(f"{len(not_dicom)} files are not DICOM and were passed over.")
