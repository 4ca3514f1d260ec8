"""``s2ldm-train scan-times``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from s2ldm_core import contrast_dose
from train.commands.named import named_seconds


def scan_times(
    store: Annotated[Path, typer.Argument(help="Pair store whose cases have labels, such as prepare makes.")],
    seconds: Annotated[
        list[str] | None,
        typer.Option(
            help="A phase whose time is known, such as by protocol: the dose is told better then. May be repeated.",
            metavar="PHASE=SECONDS",
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Leave it beside the cases (injection.json) for `evaluate --tell`, in place of what was left before: times that are "
            "given or whose interval ends by twice its beginning, and a dose whose interval leaves out 1.",
        ),
    ] = False,
) -> None:
    """Say when the phases of a store's cases were taken and at what dose, from how much their organs gained.

    For `times`, and for a route's `phase: 50s` and `contrast_dose`.

    Example: s2ldm-train scan-times PAIRS
    """
    from train.errors import TrainError
    from train.injection.estimate import FEWEST_ORGANS, TISSUES, injection
    from train.injection.kept import KeptInjection
    from train.injection.report import medians, table
    from train.store import PairStore

    known = dict(named_seconds(one) for one in seconds or ())
    cases, found = PairStore(store), []
    phases = {phase for number in range(len(cases)) for phase in cases[number].changes if "@" not in phase}
    if unknown := sorted(set(known) - phases):
        raise TrainError(
            "scan_time_phase",
            f"--seconds names {', '.join(unknown)}, which no case of {store} has.",
            f"Name one of {', '.join(sorted(phases))}.",
        )
    console = Console(stderr=True)
    for number in track(range(len(cases)), description="cases", console=console, transient=True):
        case = cases[number]
        one = injection(case, known=known)
        if one is None:
            console.print(
                f"{case.name}: fewer than {FEWEST_ORGANS} labelled organs that tell a time",
                markup=False,
                soft_wrap=True,
            )
            continue
        found.append((case, one))
        if keep:
            told = {phase: round(at.median, 1) for phase, at in one.seconds.items() if at.certain}
            dose = round(one.dose.median, contrast_dose.DIGITS) if one.dose.other_than(1.0) else None
            KeptInjection(seconds=told | known, contrast_dose=dose).write(store, case.name)
    if not found:
        raise TrainError(
            "scan_time_organs",
            f"In no case of {store} was a phase measured in {FEWEST_ORGANS} labelled organs or more that tell a time.",
            f"Give prepare label maps of the native scans with some of: {', '.join(TISSUES)}.",
        )
    typer.echo(table(found, known=known))
    typer.echo("\n" + "\n".join(medians(found)))
