"""``s2ldm-train ablate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from s2ldm_core.files import replace_text

if TYPE_CHECKING:  # asking for help needs no PyTorch
    from train.ablation import AblationTable, Comparison, CostSheet, ScoreSheet, Table1


def ablate(
    plan: Annotated[Path, typer.Argument(help="A plan such as config/train/ablation.yaml.")],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for scores.csv (another machine goes on from it), table.md and table.json."),
    ] = None,
    device: Annotated[str, typer.Option(help="Of the evaluation: auto, cpu or cuda.")] = "auto",
) -> None:
    """Train and evaluate every row of a plan with every seed, and print them in one table; continues where it stopped.

    Example: s2ldm-train ablate config/train/ablation.yaml --output docs/results/ablation
    """
    from train.ablation import AblationTable, Comparison, load_plan

    loaded = load_plan(plan)
    folder = output or loaded.folder
    sheet, _ = carried_out(
        Comparison(plan=loaded, beside=plan.parent, folder=folder, device=device),
        write=lambda sheet, costs: write_tables(AblationTable.of(sheet.scores), folder),
    )
    typer.echo(AblationTable.of(sheet.scores).markdown())


def carried_out(
    comparison: Comparison, *, write: Callable[[ScoreSheet, CostSheet], None]
) -> tuple[ScoreSheet, CostSheet]:
    """Run ``comparison`` with a progress bar; ``write`` is called after each run, and at the end."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        phantoms = bar.add_task("phantoms made", total=None)
        task = bar.add_task("runs", total=None)
        sheet, costs = comparison.run(
            on_phantom=lambda: bar.advance(phantoms),
            on_run=lambda done, of: bar.update(task, completed=done, total=of),
            on_scores=write,
        )
    write(sheet, costs)
    return sheet, costs


def write_tables(table: AblationTable | Table1, folder: Path) -> None:
    """``table.md`` and ``table.json`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / "table.md", table.markdown())
    replace_text(folder / "table.json", table.json())
