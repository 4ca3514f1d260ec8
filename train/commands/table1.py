"""``s2ldm-train table1``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from train.commands.ablate import carried_out, write_tables

if TYPE_CHECKING:  # asking for help needs no PyTorch
    from train.ablation import AblationPlan, CostSheet, ScoreSheet, Table1


def table1(
    plan: Annotated[Path, typer.Argument(help="A plan such as config/train/table1.yaml.")],
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for scores.csv and costs.json (another machine goes on from them), table.md and table.json."
        ),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Pair store that nothing was trained on: score every system on it as well.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of that store: train, validation or test.")] = "test",
    device: Annotated[str, typer.Option(help="Of the evaluation: auto, cpu or cuda.")] = "auto",
) -> None:
    """Train every system of a plan on the same pairs for the same time, and compare them; continues where it stopped.

    Example: s2ldm-train table1 config/train/table1.yaml --output docs/results/table1
    """
    from train.ablation import Comparison, load_plan
    from train.ablation.plan import StoredPairs

    loaded = load_plan(plan)
    if pairs is not None:
        stored = StoredPairs.model_validate({"store": pairs, "split": split, "title": "real pairs"})
        loaded = loaded.model_copy(update={"pairs": (stored,)})
    folder = output or loaded.folder
    comparison = Comparison(plan=loaded, beside=plan.parent, folder=folder, device=device, with_costs=True)
    sheet, costs = carried_out(
        comparison, write=lambda sheet, costs: write_tables(_table(loaded, sheet, costs, plan.parent), folder)
    )
    typer.echo(_table(loaded, sheet, costs, plan.parent).markdown())


def _table(plan: AblationPlan, sheet: ScoreSheet, costs: CostSheet, beside: Path) -> Table1:
    """With the costs of each row's first seed."""
    from train.ablation import Table1, runs

    first = {run.row.label: run.digest for run in runs(plan, beside=beside) if run.seed == plan.seeds[0]}
    known = {label: costs.costs[digest] for label, digest in first.items() if digest in costs.costs}
    return Table1.of(sheet.scores, known)
