"""``s2ldm-train plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # asking for help needs no PyTorch
    from train.planning.fingerprint import Fingerprint


def plan(
    store: Annotated[Path, typer.Argument(help="Pair store that s2ldm-train prepare wrote.")],
    base: Annotated[Path, typer.Option(help="Configuration to start from: system, network, stages.")],
    output: Annotated[Path, typer.Option(help="The planned configuration.")] = Path("plan.yaml"),
    memory_gib: Annotated[
        float | None, typer.Option(help="Memory to plan for.", min=0.1, show_default="of the GPU, else of this machine")
    ] = None,
    step_seconds: Annotated[
        float | None,
        typer.Option(help="Longest step of one crop on this CPU.", min=0.01, show_default="4 without a GPU"),
    ] = None,
) -> None:
    """Tell a store's fingerprint and plan crop and batch from it, as a file for fit that you may edit.

    Example: s2ldm-train plan runs/pairs --base config/train/s2ldm_cpu.yaml
    """
    import torch

    from s2ldm_core.files import replace_text
    from s2ldm_core.systems import build_system
    from train.config import load_config
    from train.experiment_file import read_experiment
    from train.planning.demand import demand_of, memory_bytes
    from train.planning.fingerprint import fingerprint
    from train.planning.plan import planned, with_phases

    gpu = torch.cuda.is_available()
    values = read_experiment(base).values
    values["data"] = {**(values.get("data") or {}), "store": str(store)}
    # What needs organs is decided by the plan; a step needs the same without.
    bare = [f"data.store={store}", "data.focus=null", "data.organ_offset=null"]
    found = fingerprint(store, window_hu=load_config(base, overrides=bare).data.window_hu)
    values["network"], told = with_phases(values.get("network") or {}, found)
    config = load_config(base, overrides=[*bare, f"network.phases=[{', '.join(values['network']['phases'])}]"])
    made = planned(
        values,
        found=found,
        demand=demand_of(config),
        stride=build_system(config.system, config.network).traits.multiple_of,
        memory_bytes=memory_bytes(gpu=gpu) if memory_gib is None else int(memory_gib * 2**30),
        step_seconds=step_seconds if step_seconds is not None or gpu else 4.0,
        told=told,
    )
    replace_text(output, made.text())
    beside = output.with_name(f"{output.stem}.fingerprint.yaml")
    replace_text(beside, yaml.safe_dump(found.model_dump(mode="json"), sort_keys=False))
    load_config(output)
    console = Console()
    _tell(found, console)
    for reason in made.reasons:
        console.print(reason, soft_wrap=True, markup=False, highlight=False)
    console.print(f"written: {output} and {beside}; next: s2ldm-train fit {output}", soft_wrap=True, markup=False)


def _tell(found: Fingerprint, console: Console) -> None:
    cases = ", ".join(f"{count} {split} ({found.patients[split]} patients)" for split, count in found.cases.items())
    console.print(f"cases: {cases}; labels: {found.labelled}", highlight=False)
    table = Table("tissue (native HU)", "image", "5 %", "median", "95 %", title="HU")
    for tissue, images in found.hu.items():
        for number, (image, values) in enumerate(images.items()):
            table.add_row("" if number else tissue, image, *(f"{value:.0f}" for value in values))
    console.print(table)
    for phase, fit in found.registration.items():
        console.print(
            f"registration, {phase}: {fit.pairs} pairs, "
            + ", ".join(f"{key} {fit.before.get(key, float('nan')):g} → {value:g}" for key, value in fit.after.items()),
            soft_wrap=True,
            highlight=False,
        )
