"""``s2ldm-train evaluate``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from train.commands.named import labelled, named_seconds, named_value
from train.errors import TrainError

if TYPE_CHECKING:  # the evaluation itself is imported when it runs: asking for help needs no PyTorch
    from train.evaluation import Evaluation
    from train.evaluation.records import ScanRecord


class SplitName(StrEnum):
    """Splits of a pair store."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class SampleKind(StrEnum):
    """What the samples of one package can differ in."""

    NOISE = "noise"
    DROPOUT = "dropout"


def evaluate(
    packages: Annotated[
        list[str],
        typer.Argument(
            help="Packages as LABEL=FOLDER, or NAME of a bundled one; LABEL=FOLDER+FOLDER is the mean of several, with their spread."
        ),
    ],
    seeds: Annotated[int, typer.Option(help="Number of held-out phantoms.", min=1)] = 8,
    slices: Annotated[int, typer.Option(help="Slices of each phantom.", min=8)] = 64,
    store: Annotated[Path | None, typer.Option(help="Evaluate on this pair store instead of phantoms.")] = None,
    split: Annotated[SplitName, typer.Option(help="Split of the store.")] = SplitName.TEST,
    patient: Annotated[
        list[str] | None,
        typer.Option(help="Of the store only this patient, as its cases name it; may be repeated.", metavar="NAME"),
    ] = None,
    ceiling: Annotated[
        list[str] | None,
        typer.Option(help="LABEL=RUN: the run a package comes from, for the ceiling its stage-1 autoencoder sets."),
    ] = None,
    window: Annotated[tuple[float, float], typer.Option(help="HU window of the clipped metrics.")] = (-200.0, 200.0),
    samples: Annotated[
        int, typer.Option(help="Samples for the uncertainty of systems that can sample; 0: none.", min=0)
    ] = 0,
    sample_steps: Annotated[int, typer.Option(help="Steps of each sample.", min=2, max=1000)] = 2,
    sample_kind: Annotated[
        SampleKind | None,
        typer.Option(help="What samples differ in; a package that has none is refused.", show_default="what each has"),
    ] = None,
    tell: Annotated[
        list[str] | None,
        typer.Option(
            help="Also answer with this value of the case told to packages that heed it, such as seconds after the injection or "
            "contrast_dose; NAME=VALUE: with that value in every case. May be repeated: all are told together.",
            metavar="NAME[=VALUE]",
        ),
    ] = None,
    scanned: Annotated[
        list[str] | None,
        typer.Option(
            help="Scan a phase of the phantoms at so many seconds after the injection instead of the usual; may be repeated.",
            metavar="PHASE=SECONDS",
        ),
    ] = None,
    viewer_cases: Annotated[int, typer.Option(help="Cases shown in the report's slice viewer.", min=0)] = 2,
    output: Annotated[
        Path | None, typer.Option(help="Folder for report.html, report.md, cases.csv, organs.csv, summary.json.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Compare packages on held-out phantoms or a store's split, beside identity and the autoencoder's ceiling; continues where it stopped.

    Example: s2ldm-train evaluate S2LDM=packages/demo "L1 U-Net=packages/unet" --ceiling S2LDM=runs/demo --output runs/evaluation
    """
    from s2ldm_core.package import ModelPackage
    from s2ldm_core.sampling import Sampling
    from s2ldm_core.seconds import NAME
    from train.evaluation import Evaluation, HeldOut, Report, StoreCases, candidates, ensemble

    if samples == 1:
        raise TrainError("samples_too_few", "One sample has no standard deviation.", "Use --samples 2 or more, or 0.")
    if patient and store is None:
        raise TrainError(
            "patient_without_store", "Patients are named, but no store of theirs.", "Name it with --store."
        )
    told = dict(named_value(one) for one in tell or ())
    seconds = dict(named_seconds(one) for one in scanned or ())
    if store is None and any(value is None and not (name == NAME and seconds) for name, value in told.items()):
        raise TrainError(
            "tell_without_store",
            "Phantoms tell no values.",
            "Name a store of cases with --store, a value with --tell NAME=VALUE, or a time with --scanned PHASE=SECONDS.",
        )
    if seconds and store is not None:
        raise TrainError(
            "scanned_store", "A store's cases are scanned when they are.", "Leave --scanned or --store out."
        )
    if not window[0] < window[1]:
        raise TrainError(
            "window_empty", f"The window {window[0]:g} {window[1]:g} is empty.", "Give the lower HU first."
        )
    named = dict(labelled(item) for item in packages)
    if len(named) < len(packages):
        raise TrainError("label_twice", "Two packages have the same label.", "Give each its own: LABEL=FOLDER.")
    loaded = {label: [ModelPackage.load(part) for part in folder.split("+")] for label, folder in named.items()}
    single = {label: parts[0] for label, parts in loaded.items() if len(parts) == 1}
    joined = [ensemble(label, parts, device=device) for label, parts in loaded.items() if len(parts) > 1]
    phases = tuple(dict.fromkeys(p for parts in loaded.values() for package in parts for p in package.metadata.phases))
    if unknown := sorted(set(seconds).difference(phases)):
        raise TrainError(
            "scanned_unknown",
            f"--scanned names {', '.join(unknown)}, which no package has as a phase.",
            f"Name one of {', '.join(phases)}.",
        )
    phantoms = HeldOut.first(seeds, slices=slices, phases=phases, seconds=seconds)
    evaluation = Evaluation(
        cases=phantoms
        if store is None
        else StoreCases(store, split=split.value, phases=phases, patients=tuple(patient or ())),
        systems=[
            *candidates(
                single,
                ceilings={label: Path(run) for label, run in map(labelled, ceiling or [])},
                sampling=Sampling(
                    samples=samples, steps=sample_steps, kind=None if sample_kind is None else sample_kind.value
                )
                if samples
                else None,
                tell=told,
                device=device,
            ),
            *joined,
        ],
        window_hu=window,
        viewer_cases=viewer_cases if output is not None else 0,
    )
    report = Report.of(evaluation, _run(evaluation, output))
    typer.echo(report.markdown())
    if output is not None:
        report.write(output)
        Console(stderr=True).print(f"report: {output / 'report.html'}", soft_wrap=True)


def _run(evaluation: Evaluation, output: Path | None) -> Sequence[ScanRecord]:
    """Run with a progress bar; without an output folder nothing is kept."""
    scans = sum(len(evaluation.cases.phases_of(name)) for name in evaluation.cases.names)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar, tempfile.TemporaryDirectory() as nowhere:
        task = bar.add_task(f"scans, {len(evaluation.systems)} systems each", total=scans)
        return evaluation.run(output or Path(nowhere), on_scan=lambda case, phase: bar.advance(task))
