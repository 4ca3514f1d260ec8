"""``s2ldm-train systems``."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table


def systems(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the systems that a configuration may name, with their stages, the data of each and the players that learn in it.

    Example: s2ldm-train systems --json
    """
    from s2ldm_core.systems import system_names

    found = {name: _described(name) for name in system_names()}
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    table = Table("system", "stage", "data", "players")
    for name, system in found.items():
        for number, stage in enumerate(system["stages"]):
            table.add_row("" if number else name, stage["name"], stage["data"], ", ".join(stage["players"]))
    Console().print(table)


def _described(name: str) -> dict[str, Any]:
    """With its default configuration, on no device: nothing is computed."""
    import torch

    from s2ldm_core.systems import build_system

    with torch.device("meta"):
        system = build_system(name, {})
    stages = [
        {
            "name": stage.name,
            "data": stage.data,
            "cached": stage.cached,
            "players": [player.name for player in system.players(stage.name)],
        }
        for stage in system.stages
    ]
    traits = system.traits
    return {
        "stages": stages,
        "tiling": traits.tiling,
        "samples": traits.samples,
        "draws": traits.draws if traits.samples else None,
        "steps": traits.steps,
        "multiple_of": list(traits.multiple_of),
        "parameters": system.count_parameters(),
    }
