"""``s2ldm-train export``."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from train.errors import TrainError


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    output: Annotated[Path, typer.Argument(help="Folder of the new package.")],
    name: Annotated[str, typer.Option(help="Name by which routes call the model.")],
    version: Annotated[str, typer.Option(help="Version, as written into every derived object.")] = "1.0.0",
    metrics: Annotated[Path | None, typer.Option(help="JSON written by evaluate --output.")] = None,
    intended_use: Annotated[str | None, typer.Option(help="Instead of the standard sentence: research only.")] = None,
    limit: Annotated[list[str] | None, typer.Option(help="A known limit, for the model card; may be repeated.")] = None,
    best: Annotated[
        bool, typer.Option("--best", help="The weights that validated best in the last stage, not its last ones.")
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Keep the weights in 16 bits: half as large, rounded to 1 part in 2000.")
    ] = False,
    bundle: Annotated[Path | None, typer.Option(help="Also write a MONAI Bundle into this folder.")] = None,
) -> None:
    """Make a model package, and if wanted a MONAI Bundle, from a finished run.

    Example: s2ldm-train export runs/s2ldm packages/s2ldm --name s2ldm --metrics evaluation.json --bundle bundles/s2ldm
    """
    from train.export import INTENDED_USE, LIMITS
    from train.export import export as make

    console = Console()
    package = make(
        run,
        output,
        name=name,
        version=version,
        metrics=_json(metrics),
        intended_use=intended_use or INTENDED_USE,
        limits=(*LIMITS, *(limit or ())),
        best=best,
        half=half,
    )
    console.print(f"package {package.metadata.name} {package.metadata.version}: {output}", markup=False)
    if bundle is not None:
        from train.bundle import make_bundle

        console.print(f"MONAI Bundle: {make_bundle(package, bundle)}", markup=False)


def _json(path: Path | None) -> dict[str, object] | None:
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise TrainError(
            "metrics_unreadable", f"{path} cannot be read: {error}", "Name the JSON that evaluate --output wrote."
        ) from error
    if not isinstance(found, dict):
        raise TrainError(
            "metrics_unreadable", f"{path} holds no metrics.", "Name the JSON that evaluate --output wrote."
        )
    return found
