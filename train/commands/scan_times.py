"""``s2ldm-train scan-times``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track


def scan_times(
    store: Annotated[Path, typer.Argument(help="Pair store whose cases have labels, such as prepare makes.")],
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Write them into cases that have none, where the interval ends by twice its beginning; for `evaluate --tell seconds`.",
        ),
    ] = False,
) -> None:
    """Say when the phases of a store's cases were taken, from how much their organs gained: for `times`, and for a route's `phase: 50s`.

    Example: s2ldm-train scan-times PAIRS
    """
    from train.errors import TrainError
    from train.scan_times import FEWEST_ORGANS, TISSUES, medians, scan_times, table
    from train.store import PairStore, tell_seconds

    cases, found = PairStore(store), []
    console = Console(stderr=True)
    for number in track(range(len(cases)), description="cases", console=console, transient=True):
        case = cases[number]
        if times := scan_times(case):
            found.append((case, times))
        else:
            console.print(
                f"{case.name}: fewer than {FEWEST_ORGANS} labelled organs that tell a time",
                markup=False,
                soft_wrap=True,
            )
        if keep:
            certain = {phase: round(one.seconds, 1) for phase, one in times.items() if one.certain}
            tell_seconds(store, case.name, certain, source="organs")
    if not found:
        raise TrainError(
            "scan_time_organs",
            f"In no case of {store} was a phase measured in {FEWEST_ORGANS} labelled organs or more that tell a time.",
            f"Give prepare label maps of the native scans with some of: {', '.join(TISSUES)}.",
        )
    typer.echo(table(found))
    typer.echo("\n" + "\n".join(medians(found)))
