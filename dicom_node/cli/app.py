"""The commands put together, and how errors become exit codes."""

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from dicom_node import __version__
from dicom_node.cli import (
    backups,
    checking,
    configuration,
    destinations,
    jobs,
    models,
    peers,
    quarantine,
    routes,
    running,
    senders,
    series,
    tail,
    tokens,
    translating,
    users,
)
from dicom_node.cli.output import say, stderr
from dicom_node.errors import ConfigError
from dicom_node.privacy import silence_attribute_values
from dicom_node.visible import visible
from s2ldm_core.problem import ProblemError

#: Exit codes: done, failed, wrong use.
DONE, FAILED, WRONG_USE = 0, 1, 2

app = typer.Typer(
    name="s2ldm-node",
    help="DICOM node: non-contrast CT series in, derived series with a synthetic contrast phase back. For research.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)
running.register(app)
translating.register(app)
checking.register(app)
peers.register(app)
backups.register(app)
tail.register(app)
app.add_typer(series.commands, name="series")
app.add_typer(jobs.commands, name="jobs")
app.add_typer(quarantine.commands, name="quarantine")
app.add_typer(routes.commands, name="routes")
app.add_typer(destinations.commands, name="destinations")
app.add_typer(senders.commands, name="peers")
app.add_typer(configuration.commands, name="config")
app.add_typer(models.commands, name="models")
app.add_typer(users.commands, name="users")
app.add_typer(tokens.commands, name="tokens")


def _show_version(asked: bool) -> None:
    if asked:
        say(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 done, 1 failed, 2 wrong use. Errors go to standard error, one line first."""
    silence_attribute_values()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="s2ldm-node")
    except ProblemError as error:
        console = stderr()
        first, *more = error.sentence.splitlines()
        console.print(visible(f"error: {first}"), style="bold red", markup=False, highlight=False, soft_wrap=True)
        for line in (*more, error.remedy):
            if line:
                console.print(visible(f"  {line}"), markup=False, highlight=False, soft_wrap=True)
        console.print(f"  ({error.code})", style="dim", markup=False, highlight=False)
        sys.exit(WRONG_USE if isinstance(error, ConfigError) else FAILED)
    sys.exit(DONE)
