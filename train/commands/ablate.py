"""``s2ldm-train ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn


def ablate(
    plan: Annotated[Path, typer.Argument(help="A plan such as config/train/ablation.yaml.")],
    output: Annotated[Path | None, typer.Option(help="Also write table.md and table.json into this folder.")] = None,
    device: Annotated[str, typer.Option(help="Of the evaluation: auto, cpu or cuda.")] = "auto",
) -> None:
    """Train and evaluate every row of a plan with every seed, and print them in one table; continues where it stopped.

    Example: s2ldm-train ablate config/train/ablation.yaml --output docs/results/ablation
    """
    from train.ablation import AblationTable, evaluate_run, load_plan, prepare_store, results, runs, train_missing

    loaded, beside = load_plan(plan), plan.parent
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        if loaded.phantoms:
            task = bar.add_task("phantoms made", total=None)
            for _ in prepare_store(loaded, workers=loaded.workers):
                bar.advance(task)
            bar.remove_task(task)
        every = runs(loaded)
        task = bar.add_task("runs", total=len(every), completed=sum(run.done for run in every))
        for run in train_missing(loaded, beside=beside):
            evaluate_run(loaded, run, device=device)
            bar.advance(task)
    records, rows = results(loaded, device=device)
    table = AblationTable.of(records, rows)
    typer.echo(table.markdown())
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "table.md").write_text(table.markdown(), encoding="utf-8")
        (output / "table.json").write_text(table.json(), encoding="utf-8")
