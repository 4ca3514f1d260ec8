"""``s2ldm-train distill``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def distill(
    package: Annotated[
        str,
        typer.Argument(
            help="The package whose answers are to be learned, such as an ensemble: a folder, or a bundled name."
        ),
    ],
    store: Annotated[Path, typer.Option(help="Pair store whose cases they answer.")],
    output: Annotated[Path, typer.Option(help="Folder of the new pair store; goes on where it was cut short.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Make a store whose phases are what a package answers, for one network that answers as an ensemble does.

    Example: s2ldm-train distill packages/both --store runs/pairs --output runs/answered
    """
    from s2ldm_core.package import ModelPackage
    from train.distilling import distill as make
    from train.store import PairStore

    console = Console(stderr=True)
    with console.status("…") as status:
        written = make(
            ModelPackage.load(package),
            PairStore(store, split=None),
            output,
            device=device,
            on_case=status.update,
        )
    console.print(f"{written} cases: {output}", markup=False, soft_wrap=True)
