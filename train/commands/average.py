"""``s2ldm-train average``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def average(
    start: Annotated[
        str,
        typer.Argument(
            help="The package that the other was trained from, or another trained from the same: a folder, or a bundled name."
        ),
    ],
    tuned: Annotated[str, typer.Argument(help="The other one.")],
    output: Annotated[Path, typer.Argument(help="Folder of the new package.")],
    name: Annotated[str, typer.Option(help="Name by which routes call the model.")],
    version: Annotated[str, typer.Option(help="Version, as written into every derived object.")] = "1.0.0",
    share: Annotated[float, typer.Option(help="Of the second one.", min=0.0, max=1.0)] = 0.5,
) -> None:
    """Make a package whose weights lie between those of two, one of which was trained from the other or both from a third.

    Example: s2ldm-train average demo packages/real packages/middle --name middle --share 0.5
    """
    from s2ldm_core.package import ModelPackage
    from train.averaging import average as make

    package = make(ModelPackage.load(start), ModelPackage.load(tuned), output, share=share, name=name, version=version)
    Console().print(f"package {package.metadata.name} {package.metadata.version}: {output}", markup=False)
