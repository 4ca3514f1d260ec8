"""``s2ldm-train fit``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def fit(
    config: Annotated[Path, typer.Argument(help="One of config/train/*.yaml.")],
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key, as in --set stages.diffusion.steps=500."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only validate the configuration.")] = False,
) -> None:
    """Train a system; run the same command again to continue an interrupted run.

    On several GPUs or machines: accelerate launch -m train.cli fit CONFIG

    Example: s2ldm-train fit config/train/s2ldm_cpu.yaml --set data.store=runs/pairs
    """
    from train.config import load_config

    loaded = load_config(config, overrides=change or ())
    console = Console()
    if check:
        console.print(
            f"{config} is valid: {loaded.system}, stages {', '.join(stage.name for stage in loaded.stages)}",
            markup=False,
        )
        return
    from train.fit import Fit

    run = Fit(loaded)
    run.fit()
    if run.main:
        console.print(f"trained: {run.run}", markup=False)
