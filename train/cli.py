"""``s2ldm-train``: phantoms, training, evaluation, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from s2ldm_core.errors import S2LDMError
from train.errors import TrainError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Train, evaluate and package the models of the node."
)
_out = Console()
_err = Console(stderr=True)


@app.command()
def phantom(
    output: Annotated[Path, typer.Argument(help="Folder of the pair store (or of DICOM series with --dicom).")],
    count: Annotated[int, typer.Option(help="Number of patients.", min=1)] = 96,
    first: Annotated[int, typer.Option(help="Seed of the first patient; seeds from 100000 on are held out for evaluation.", min=0)] = 0,
    phases: Annotated[str, typer.Option(help="Phases, comma-separated.")] = "arterial,venous",
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    dicom: Annotated[bool, typer.Option("--dicom", help="Write CT series in DICOM instead of a pair store.")] = False,
) -> None:
    """Make training pairs from the digital torso phantom; continues where it stopped.

    Example: s2ldm-train phantom runs/phantoms --count 96 --workers 2
    """
    from train.phantoms import make_store, write_dicom

    names = tuple(p.strip() for p in phases.split(",") if p.strip())
    make = write_dicom if dicom else make_store
    with Progress(console=_err) as bar:
        task = bar.add_task("phantoms", total=None)
        made = 0
        for _ in make(output, seeds=range(first, first + count), phases=names, workers=workers):
            made += 1
            bar.update(task, completed=made, total=count)
    _out.print(f"{made} made, {count - made} were there already: {output}")


@app.command()
def fit(config: Annotated[Path, typer.Argument(help="One of config/train/*.yaml.")]) -> None:
    """Train a system; run the same command again to continue an interrupted run.

    Example: s2ldm-train fit config/train/demo.yaml
    """
    from train.config import load_config
    from train.fit import Fit

    run = Fit(load_config(config))
    run.fit()
    _out.print(f"trained: {run.run}")


@app.command()
def evaluate(
    packages: Annotated[list[str], typer.Argument(help="Packages as LABEL=FOLDER or NAME.")],
    seeds: Annotated[int, typer.Option(help="Number of held-out phantoms.", min=1)] = 8,
    slices: Annotated[int, typer.Option(help="Slices of each.", min=8)] = 64,
    output: Annotated[Path | None, typer.Option(help="Also write the results there as JSON.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Compare packages on held-out phantoms (never trained on), beside identity and the autoencoder's ceiling.

    Example: s2ldm-train evaluate S2LDM=runs/demo-package "L1 U-Net=runs/unet-package"
    """
    from s2ldm_core.package import ModelPackage
    from train.evaluate import HeldOut, answers, markdown
    from train.evaluate import evaluate as run
    from train.phantoms import HELD_OUT

    loaded = {}
    for item in packages:
        label, _, folder = item.rpartition("=")
        loaded[label or item] = ModelPackage.load(folder)
    phases = next(iter(loaded.values())).metadata.phases
    held_out = HeldOut(seeds=tuple(range(HELD_OUT, HELD_OUT + seeds)), slices=slices)
    with Progress(console=_err) as bar:
        task = bar.add_task("held-out scans", total=seeds * len(phases))
        results = run(held_out, answers(loaded, device=device), phases=phases, on_case=lambda _: bar.advance(task))
    typer.echo(markdown(results))
    if output is not None:
        record = {"held_out_seeds": list(held_out.seeds), "slices": slices, "matrix": list(held_out.matrix), "results": results}
        output.write_text(json.dumps(record, indent=1), encoding="utf-8")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    output: Annotated[Path, typer.Argument(help="Folder of the new package.")],
    name: Annotated[str, typer.Option(help="Name by which routes call the model.")],
    version: Annotated[str, typer.Option(help="Version, as written into every derived object.")] = "1.0.0",
    metrics: Annotated[Path | None, typer.Option(help="JSON written by evaluate --output.")] = None,
) -> None:
    """Make a model package from a finished run.

    Example: s2ldm-train export runs/demo packages/demo --name demo --metrics demo.json
    """
    from train.export import export as make

    package = make(
        run, output, name=name, version=version, metrics=json.loads(metrics.read_text(encoding="utf-8")) if metrics else None
    )
    _out.print(f"package {package.metadata.name} {package.metadata.version}: {output}")


def main() -> None:
    """Exit code 0 done, 1 failed, 2 wrong use; errors go to stderr, one line first."""
    try:
        app()
    except (TrainError, S2LDMError) as error:
        _err.print(error.sentence, style="bold red", soft_wrap=True)
        if error.remedy:
            _err.print(error.remedy, soft_wrap=True)
        raise SystemExit(1) from error
