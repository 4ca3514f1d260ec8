"""``serve`` and ``demo``."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.output import ConfigOption


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: s2ldm-node serve --config config/node.yaml")(serve)
    app.command(epilog="Example: s2ldm-node demo --input my-ct-series/ --output demo/")(demo)


def serve(config: ConfigOption = None) -> None:
    """Run the node until SIGTERM or Ctrl-C; SIGHUP has it read its configuration. Logs go to standard error."""
    from dicom_node.config import config_path, load_settings
    from dicom_node.heap import settle, share_arenas
    from dicom_node.private import keep_private
    from dicom_node.service.database import await_database
    from dicom_node.service.models import check_models
    from dicom_node.service.node import Node
    from dicom_node.service.observe import configure_logging
    from dicom_node.service.signals import hang_ups, stop_signals, wait_for

    share_arenas()
    keep_private()
    path = config_path(config)
    settings = load_settings(path)
    check_models(settings)
    configure_logging(settings.log)
    with stop_signals() as stop, hang_ups() as hung_up:
        if await_database(settings, stop):
            with Node(settings, config=path) as node:
                settle()
                wait_for(stop, hung_up=hung_up, reload=node.reload)


def demo(
    input_folder: Annotated[
        Path | None,
        typer.Option(
            "--input", help="Folder with a non-contrast CT series. Default: a phantom.", exists=True, show_default=False
        ),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(metavar="UID", help="Series Instance UID, if the folder holds several.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option("--output", help="Where the results go.")] = Path("demo"),
    model: Annotated[
        str | None, typer.Option(help="Model package. Default: that of the routes.", show_default=False)
    ] = None,
) -> None:
    """Show the whole way: start a node, send it a series over DICOM, check and draw what comes back."""
    from dicom_node.demo import run_demo

    run_demo(input=input_folder, output=output, model=model, series_uid=series)
