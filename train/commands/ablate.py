"""``s2ldm-train ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

if TYPE_CHECKING:  # asking for help needs no PyTorch
    from train.ablation import AblationTable


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
    from train.ablation import (
        AblationTable,
        ScoreSheet,
        evaluate_run,
        held_out_cases,
        load_plan,
        prepare_store,
        runs,
        train,
    )

    loaded, beside = load_plan(plan), plan.parent
    folder = output or loaded.folder
    every = runs(loaded, beside=beside)
    sheet = ScoreSheet(folder, plan=loaded, runs=every)
    cases = held_out_cases(loaded)
    wanted = [run for run in every if not sheet.has(run)]
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        if loaded.phantoms and not all(run.done for run in wanted):
            task = bar.add_task("phantoms made", total=None)
            for _ in prepare_store(loaded, workers=loaded.workers):
                bar.advance(task)
            bar.remove_task(task)
        task = bar.add_task("runs", total=len(every), completed=len(every) - len(wanted))
        for run in train(loaded, wanted, beside=beside):
            sheet.add(evaluate_run(loaded, run, cases=cases, device=device))
            _write(AblationTable.of(sheet.scores), folder)
            bar.advance(task)
    table = AblationTable.of(sheet.scores)
    _write(table, folder)
    typer.echo(table.markdown())


def _write(table: AblationTable, folder: Path) -> None:
    """``table.md`` and ``table.json`` in ``folder``."""
    (folder / "table.md").write_text(table.markdown(), encoding="utf-8")
    (folder / "table.json").write_text(table.json(), encoding="utf-8")
