"""``s2ldm-train ensemble``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def ensemble(
    packages: Annotated[
        list[str],
        typer.Argument(help="Packages that are to answer together: folders, or bundled names."),
    ],
    output: Annotated[Path, typer.Option(help="Folder of the new package.")],
    name: Annotated[str, typer.Option(help="Name by which routes call the model.")],
    version: Annotated[str, typer.Option(help="Version, as written into every derived object.")] = "1.0.0",
    share: Annotated[
        list[float] | None,
        typer.Option(help="How much one counts; once for each, in their order. Without: all alike."),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Keep the weights in 16 bits: half as large, rounded to 1 part in 2000.")
    ] = False,
) -> None:
    """Make a package that answers with the mean of what several answer, for the sum of their seconds.

    Example: s2ldm-train ensemble packages/a packages/b --share 2 --share 1 --output packages/both --name both --half
    """
    from s2ldm_core.package import ModelPackage
    from train.ensembling import ensemble as make

    loaded = [ModelPackage.load(package) for package in packages]
    package = make(loaded, output, name=name, version=version, shares=share or (), half=half)
    Console().print(f"package {package.metadata.name} {package.metadata.version}: {output}", markup=False)
