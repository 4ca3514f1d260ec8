"""``s2ldm-train spread``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def spread(
    package: Annotated[
        str, typer.Argument(help="The package whose uncertainty is to be told: a folder, or a bundled name.")
    ],
    output: Annotated[Path, typer.Argument(help="Folder of the new package.")],
    calibrate: Annotated[Path, typer.Option(help="Pair store that sets the widths of the intervals.")],
    held_out: Annotated[Path, typer.Option(help="Pair store on which is measured how often they hold.")],
    answers: Annotated[
        Path, typer.Option(help="Folder that keeps what the package answers, so that nothing is answered twice.")
    ],
    fit: Annotated[
        Path | None,
        typer.Option(
            help="Pair store whose errors the network learns.",
            show_default="the package's own network stays, scale and widths are anew",
        ),
    ] = None,
    also: Annotated[
        list[Path] | None, typer.Option(help="A further pair store to measure on; may be repeated.")
    ] = None,
    version: Annotated[str, typer.Option(help="Version of the new package.")] = "1.0.0",
    minutes: Annotated[float, typer.Option(help="Of training; on a CPU processor time a thread.", min=0.01)] = 20.0,
    seed: Annotated[int, typer.Option(help="Of weights and crops.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Teach a package the uncertainty of its answers, on cases that were not in its training.

    Example: s2ldm-train spread demo packages/demo --fit runs/a --calibrate runs/b --held-out runs/c --answers runs/answers
    """
    from s2ldm_core.package import ModelPackage
    from train.spread import add_spread, markdown

    console = Console(stderr=True)
    with console.status("…") as status:
        told = add_spread(
            ModelPackage.load(package),
            output,
            fit=fit,
            calibrate=calibrate,
            held_out=held_out,
            also=also or (),
            answers=answers,
            version=version,
            minutes=minutes,
            seed=seed,
            device=device,
            say=status.update,
        )
    typer.echo(markdown(told))
    console.print(f"package {told.package.metadata.name} {version}: {output}", markup=False, soft_wrap=True)
