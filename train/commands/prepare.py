"""``s2ldm-train prepare``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:  # asking for help needs neither PyTorch nor SimpleITK
    from train.prepare import Prepared
    from train.prepare.pipeline import Found

# More lines are for the file.
_ROWS = 60


def prepare(
    studies: Annotated[
        Path, typer.Argument(help="Folder tree with native and contrast CT: DICOM, NIfTI or MetaImage.")
    ],
    output: Annotated[Path, typer.Argument(help="Folder of the pair store.")],
    pairs: Annotated[
        Path | None, typer.Option(help="CSV, or MONAI data list, that names series, phases, patients.")
    ] = None,
    layout: Annotated[
        str, typer.Option(help="auto, folders, phase-folders, nnunet, bids, files, coltea, mp-act or phantom.")
    ] = "auto",
    phases: Annotated[str, typer.Option(help="Contrast phases wanted: arterial, venous, delayed.")] = "arterial,venous",
    registration: Annotated[str, typer.Option(help="bspline, demons, affine, rigid or none.")] = "bspline",
    split: Annotated[
        str | None, typer.Option(help="Shares of patients; 0.8/0.2/0 for mp-act.", show_default="0.7/0.15/0.15")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split and of the registration's sampling.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="HU window of the models to train; -200 200 for mp-act.", show_default="-200 500"),
    ] = None,
    spacing: Annotated[tuple[float, float, float], typer.Option(help="Model grid: slices, rows, columns, mm.")] = (
        3.0,
        1.5,
        1.5,
    ),
    derived: Annotated[
        str, typer.Option(help="Computed images to take as well: mono, vnc, iodine, subtraction, mip, map.")
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only tell phases and pairs, as a table and contact sheets in OUTPUT/dry-run."),
    ] = False,
) -> None:
    """Make a store of registered pairs from studies; run the same command again to continue.

    Example: s2ldm-train prepare studies runs/pairs --workers 4
    """
    from train.prepare import PrepareOptions
    from train.prepare import prepare as run
    from train.prepare.pipeline import find_pairs

    options = PrepareOptions.of(
        layout=layout,
        phases=phases,
        registration=registration,
        split=split,
        seed=seed,
        window_hu=window,
        spacing_mm=spacing,
        derived=derived,
    )
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def listener(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done, total=total)

        if dry_run:
            found = find_pairs(studies, options=options, table=pairs, workers=workers, listener=listener)
        else:
            result = run(studies, output, options=options, table=pairs, workers=workers, listener=listener)
    if dry_run:
        _tell_rehearsal(found, studies, output, console=Console())
        return
    _tell(result, output, console=Console())


def _tell_rehearsal(found: Found, studies: Path, output: Path, *, console: Console) -> None:
    from train.prepare.rehearsal import rehearsed, write_rehearsal

    rows = rehearsed(found)
    table = Table(title=f"layout {found.layout}: {len(rows)} series, {len(found.pairings)} pairings")
    for name in ("patient", "series", "phase", "why", "becomes"):
        table.add_column(name, overflow="fold")
    for row, _ in rows[:_ROWS]:
        table.add_row(row.patient, row.series, row.phase, row.why, row.outcome)
    console.print(table)
    if len(rows) > _ROWS:
        console.print(f"… and {len(rows) - _ROWS} more")
    for path in write_rehearsal(output, rows, studies=studies):
        console.print(f"written: {path}", soft_wrap=True, markup=False, highlight=False)


def _tell(result: Prepared, output: Path, *, console: Console) -> None:
    cases: list[Mapping[str, Any]] = result.manifest["cases"]
    patients = ", ".join(f"{count} {split}" for split, count in result.manifest["patients"].items())
    console.print(f"{result.made} made, {len(cases) - result.made} were there already: {output}", soft_wrap=True)
    console.print(f"layout {result.layout}; patients: {patients}", soft_wrap=True)
    console.print(_quality(cases, result.manifest["options"]["phases"]))
    for code, count in result.manifest["rejected"].items():
        console.print(f"rejected: {count} {code}", soft_wrap=True, highlight=False)
    if result.rejections:
        console.print(f"why, one by one: {output / 'rejected.csv'}; pictures: {output / 'pictures'}", soft_wrap=True)


def _quality(cases: list[Mapping[str, Any]], phases: list[str]) -> Table:
    """Medians over the cases of each phase, before and after registration."""
    table = Table(title="registration, medians before → after")
    for name in ("phase", "pairs", "MI", "fat HU", "bone HU", "liver mm", "kidney mm"):
        table.add_column(name)
    for phase in phases:
        found = [case["quality"][phase] for case in cases if phase in case["quality"]]
        fits = [_arrow([(q["before"][key], q["after"][key]) for q in found], digits) for key, digits in _FITS]
        organs = [_arrow([q["boundary_mm"][o] for q in found if o in q["boundary_mm"]], 2) for o in ("liver", "kidney")]
        table.add_row(phase, str(len(found)), *fits, *organs)
    return table


_FITS = (("mutual_information", 3), ("fat_hu", 1), ("bone_edge_hu", 1))


def _arrow(pairs: list[Any], digits: int) -> str:
    known = [pair for pair in pairs if None not in pair]
    if not known:
        return "–"
    before, after = (median(float(pair[index]) for pair in known) for index in (0, 1))
    return f"{before:.{digits}f} → {after:.{digits}f}"
