"""``s2ldm-train times``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from train.commands.named import named_seconds
from train.errors import TrainError


def times(
    package: Annotated[str, typer.Argument(help="A package of two phases or more: a folder, or a bundled name.")],
    output: Annotated[Path, typer.Argument(help="Folder of the new package.")],
    seconds: Annotated[
        list[str],
        typer.Option(
            help="PHASE=SECONDS after the start of the injection at which its training data were taken; one for each phase.",
            metavar="PHASE=SECONDS",
        ),
    ],
    version: Annotated[str, typer.Option(help="Version of the new package.")],
    earliest: Annotated[float, typer.Option(help="First second that may be asked for.")] = 25.0,
    latest: Annotated[float, typer.Option(help="Last second that may be asked for.")] = 240.0,
) -> None:
    """Let a package answer for a time between its phases, such as a route's `phase: 50s`; its weights stay as they are.

    Example: s2ldm-train times runs/demo packages/demo --seconds arterial=35 --seconds venous=72 --version 1.1.0
    """
    from s2ldm_core.package import ModelPackage, with_times
    from train.card import model_card
    from train.times import fit_times, table

    loaded = ModelPackage.load(package)
    named = dict(named_seconds(one) for one in seconds)
    if set(named) != set(loaded.metadata.phases):
        raise TrainError(
            "times_phases",
            f"Seconds are given for {', '.join(named)}; the package has {', '.join(loaded.metadata.phases)}.",
            "Give --seconds PHASE=SECONDS for each of its phases.",
        )
    fit = fit_times(named, earliest=earliest, latest=latest)
    made = with_times(loaded, output, times=fit.times, version=version, model_card=model_card)
    typer.echo(table(fit))
    Console(stderr=True).print(f"package {made.metadata.name} {version}: {output}", markup=False, soft_wrap=True)
