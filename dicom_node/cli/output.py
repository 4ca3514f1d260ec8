"""What the commands print with, and the option that all of them share."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dicom_node.visible import visible

_PIPED_WIDTH = 240

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Configuration file. Default: S2LDM_CONFIG, else config/node.yaml.", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def stdout() -> Console:
    """The console for results; wide when piped, so that no UID is cut."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def stderr() -> Console:
    """The console for errors and progress."""
    return Console(stderr=True)


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """A text on standard output, or on standard error."""
    typer.echo(visible(text), err=err, nl=nl)


def print_json(value: object) -> None:
    """JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table on standard output; None is shown as nothing."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else visible(str(cell)) for cell in row))
    stdout().print(table, markup=False, highlight=False)


def plain_text(value: object) -> str:
    """A value of a record, nested or not, as one line for people."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain_text(one)}" for name, one in value.items())
    return ", ".join(map(plain_text, value)) if isinstance(value, list | tuple) else str(value)


def time_text(value: datetime | None) -> str:
    """A time in the local zone, to the second."""
    return "" if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


@contextmanager
def item_progress(title: str, *, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar over items; yields what to call after each."""
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=stderr()) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def stage_progress() -> Iterator[Callable[[str, float], None]]:
    """A progress bar over stages; yields a function of the stage's name and the fraction (0..1) of it done."""
    columns: list[Any] = [TextColumn("{task.description:<12}"), BarColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=stderr()) as bar:
        task = bar.add_task("", total=1.0)

        def report(stage: str, fraction: float) -> None:
            bar.update(task, description=stage, completed=fraction)

        yield report
