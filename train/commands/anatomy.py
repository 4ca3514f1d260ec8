"""``s2ldm-train phantom --anatomy``: pairs from label maps of real anatomy."""

from pathlib import Path
from typing import cast, get_args

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeRemainingColumn

from train.anatomy import Dose, Modes, make_anatomy_store, sources
from train.errors import TrainError


def anatomy_pairs(
    output: Path,
    *,
    anatomy: Path,
    count: int = 96,
    first: int = 0,
    phases: tuple[str, ...] = ("arterial", "venous"),
    workers: int = 1,
    subjects: tuple[str, ...] = (),
    modes: str = "both",
    dose: str = "scanned",
    console: Console | None = None,
) -> int:
    """Make the missing pairs of seeds ``first`` .. ``first + count`` from the subjects in ``anatomy``; returns how many were made.

    Raises
    ------
    TrainError
        ``modes_unknown``, ``dose_unknown``, and those of `train.anatomy.make_anatomy_store`.
    """
    console = console or Console(stderr=True)
    if modes not in get_args(Modes):
        raise TrainError(
            "modes_unknown", f"There is no mode {modes!r}.", f"Choose one of {', '.join(get_args(Modes))}."
        )
    if dose not in get_args(Dose):
        raise TrainError("dose_unknown", f"There is no dose {dose!r}.", f"Choose one of {', '.join(get_args(Dose))}.")
    made = 0
    seeds = range(first, first + count)
    pairs = make_anatomy_store(
        output,
        anatomy=anatomy,
        seeds=seeds,
        phases=phases,
        workers=workers,
        subjects=subjects,
        modes=cast(Modes, modes),
        dose=cast(Dose, dose),
    )
    with Progress(
        SpinnerColumn(),
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("pairs from anatomy", total=count)
        for _ in pairs:
            made += 1
            bar.update(task, completed=made)
    console.print(f"{made} made, {count - made} were there already: {output}", soft_wrap=True)
    for source in sources(output):
        console.print(f"  {source['anatomy']}: {source['cases']} {source['licence']}", soft_wrap=True, highlight=False)
    return made
