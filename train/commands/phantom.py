"""``s2ldm-train phantom``: training pairs from the digital torso phantom, or from label maps of real anatomy."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from train.errors import TrainError


def phantom(
    output: Annotated[Path, typer.Argument(help="Folder of the pair store (or of DICOM studies with --dicom).")],
    count: Annotated[int, typer.Option(help="Number of patients.", min=1)] = 96,
    first: Annotated[
        int, typer.Option(help="Seed of the first patient; seeds from 100000 on are held out for evaluation.", min=0)
    ] = 0,
    phases: Annotated[str, typer.Option(help="Phases, comma-separated.")] = "arterial,venous",
    times: Annotated[
        int,
        typer.Option(help="Scan every patient at so many other seconds as well, for systems that heed them.", min=0),
    ] = 0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    dicom: Annotated[bool, typer.Option("--dicom", help="Write CT series in DICOM instead of a pair store.")] = False,
    breathing: Annotated[
        float,
        typer.Option(
            help="Up to so many mm of breathing between the phases; --dicom and s2ldm-train prepare register it.", min=0
        ),
    ] = 0.0,
    anatomy: Annotated[
        Path | None,
        typer.Option(
            help="Paint the label maps (and enhance the native CTs) in this folder instead of made-up anatomy."
        ),
    ] = None,
    subjects: Annotated[str, typer.Option(help="With --anatomy: only these subjects' folders, comma-separated.")] = "",
    modes: Annotated[
        str, typer.Option(help="With --anatomy: painted, simulated, both, or unenhanced (from contrast CTs).")
    ] = "both",
    dose: Annotated[
        str,
        typer.Option(
            help="With --modes unenhanced: the target as it was scanned, or with the enhancement of a usual dose."
        ),
    ] = "scanned",
) -> None:
    """Make training pairs from the digital torso phantom or from label maps of real anatomy; continues where it stopped.

    Example: s2ldm-train phantom runs/phantoms --count 96 --workers 2
    """
    names, chosen = _listed(phases), _listed(subjects)
    if dose != "scanned" and (anatomy is None or modes != "unenhanced"):
        raise TrainError(
            "dose_of_no_scan",
            "A dose can be asked for of contrast scans alone, and these pairs are made from none.",
            "Give --anatomy and --modes unenhanced, or leave --dose out.",
        )
    if anatomy is not None:
        from train.commands.anatomy import anatomy_pairs

        if dicom:
            raise TrainError(
                "dicom_of_anatomy", "Pairs from label maps are written as a pair store only.", "Leave --dicom out."
            )
        anatomy_pairs(
            output,
            anatomy=anatomy,
            count=count,
            first=first,
            phases=names,
            workers=workers,
            subjects=chosen,
            modes=modes,
            dose=dose,
            console=Console(stderr=True),
        )
        return
    from train.phantoms import make_store, write_dicom

    if times and dicom:
        raise TrainError(
            "times_in_dicom", "Other seconds are made for a pair store only.", "Leave --times or --dicom out."
        )
    make = (
        partial(write_dicom, breathing_mm=breathing)
        if dicom
        else partial(make_store, times=times, breathing_mm=breathing)
    )
    made = 0
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("phantoms", total=count)
        for _ in make(output, seeds=range(first, first + count), phases=names, workers=workers):
            made += 1
            bar.update(task, completed=made)
    Console().print(f"{made} made, {count - made} were there already: {output}", markup=False)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
