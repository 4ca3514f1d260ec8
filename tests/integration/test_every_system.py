"""Every system is served: one node, a route for each and one for a time, the same series to all. And a system outside of the repository."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydicom import dcmread
from typer.testing import CliRunner

from s2ldm_core.systems import system_names
from tests import peers
from tests.every_system import SMALLEST, write_untrained
from tests.tiny_training import write_pair
from train.cli import app as train_app

pytestmark = [pytest.mark.dcmtk, pytest.mark.timeout(600)]

NodeStarter = Callable[..., peers.Peer]
FINAL = {"done", "refused", "failed", "cancelled"}

OUTSIDE = '''
"""A threshold that is learnt: what is brighter than it gains a constant. A system in a package of somebody's own."""

import torch
import torch.nn.functional as F
from torch import nn

from s2ldm_core.systems import Player, Stage, System, SystemConfig, Traits


class BrighteningConfig(SystemConfig):
    """How steep the threshold is."""

    steepness: float = 20.0


class Brightening(System):
    """x -> gain of the phase where x is above a threshold."""

    name = "brightening"
    Config = BrighteningConfig
    stages = (Stage(name="threshold"),)
    traits = Traits(multiple_of=(1, 1, 1), tiling="blend")

    def __init__(self, config):
        super().__init__(config)
        self.threshold = nn.Parameter(torch.tensor(-0.3))
        self.gain = nn.Parameter(torch.full((len(config.phases),), 0.1))

    def players(self, stage):
        return (Player(name="both", parameters=self.parameters()),)

    def loss(self, stage, player, batch, turn):
        error = F.l1_loss(self.change(batch.source, batch.condition, None), batch.change)
        return error, {"l1": error.detach()}

    def change(self, source, condition, how):
        gain = self.gain[condition.phase].view(-1, 1, 1, 1, 1)
        return gain * torch.sigmoid(self.config.steepness * (source - self.threshold))
'''


def _ended(node: peers.Peer, count: int) -> dict[str, dict[str, Any]]:
    def look() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = node.get_json("/api/jobs?limit=100")["items"]
        return items if len(items) >= count and all(job["state"] in FINAL for job in items) else []

    return {job["route"]: job for job in peers.wait_until(look, seconds=400.0, what=f"{count} jobs to end")}


def _values(folder: Path) -> np.ndarray:
    """Stored values of a derived series, slice by slice."""
    files = [dcmread(path) for path in folder.rglob("*.dcm")]
    return np.stack([one.pixel_array for one in sorted(files, key=lambda one: float(one.ImagePositionPatient[2]))])


def test_every_system_of_the_registry_is_served_on_a_route_and_a_time_where_a_model_knows_it(
    start_node: NodeStarter, phantom_series: Path, tmp_path: Path
) -> None:
    assert set(SMALLEST) == set(system_names())
    out = {name: tmp_path / "out" / name for name in (*SMALLEST, "seconds")}
    for folder in out.values():
        folder.mkdir(parents=True)
    routes = {
        f"TO_{name.upper()}": {
            "phase": "venous",
            "model": str(write_untrained(name, tmp_path / "packages" / name)),
            "destinations": [name],
            "mark": "none",
        }
        for name in SMALLEST
    }
    routes["AT_35S"] = {**routes["TO_CCDM"], "phase": "35s", "destinations": ["seconds"]}
    node = start_node(
        {
            "series": {"quiet_seconds": 1.0, "min_slices": 8},
            "routes": routes,
            "destinations": {name: {"type": "folder", "path": str(folder)} for name, folder in out.items()},
        }
    )
    for title in routes:
        peers.send(node, [phantom_series], called_ae=title)
    jobs = _ended(node, len(routes))
    assert {title: (job["state"], job["reason"]) for title, job in jobs.items()} == dict.fromkeys(
        routes, ("done", None)
    )
    answers = {name: _values(folder) for name, folder in out.items()}
    assert {image.shape for image in answers.values()} == {(12, 96, 96)}
    names = sorted(answers)
    for number, one in enumerate(names):  # each by its own model
        assert all(not np.array_equal(answers[one], answers[other]) for other in names[number + 1 :])
    assert jobs["AT_35S"]["phase"] == "35s"
    headers = [dcmread(path, stop_before_pixels=True) for path in out["seconds"].rglob("*.dcm")]
    assert {one.SeriesDescription for one in headers} == {"SYNTHETIC 35 s after injection (ccdm 0)"}


def test_a_system_outside_the_repository_is_trained_compared_packaged_and_served(
    start_node: NodeStarter, phantom_series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site"
    about = installed / "outside-1.dist-info"
    about.mkdir(parents=True)
    (installed / "outside.py").write_text(OUTSIDE)
    assert OUTSIDE.count("\n") < 60
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[s2ldm.systems]\nbrightening = outside:Brightening\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(installed))

    for seed, split in enumerate(("train", "validation", "test")):
        write_pair(tmp_path / "pairs", seed, split=split)
    training = {
        "name": "outside",
        "system": "brightening",
        "data": {"store": str(tmp_path / "pairs"), "crop": [8, 32, 32]},
        "stages": [{"name": "threshold", "steps": 20, "lr": 0.02}],
        "precision": "fp32",
        "output": str(tmp_path / "runs"),
        "validation": {"cases": 1},
    }
    (tmp_path / "outside.yaml").write_text(yaml.safe_dump(training))

    def train(*words: object) -> str:
        done = CliRunner().invoke(train_app, [str(word) for word in words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    assert "brightening" in train("systems")
    # In a process of its own, as at a prompt: accelerate keeps one precision for the life of a process.
    command = [sys.executable, "-m", "train.cli", "fit", str(tmp_path / "outside.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    package = tmp_path / "package"
    train("export", tmp_path / "runs" / "outside", package, "--name", "outside")
    assert "mine" in train("evaluate", f"mine={package}", "--store", tmp_path / "pairs", "--split", "test")

    (tmp_path / "out").mkdir()
    node = start_node(
        {
            "series": {"quiet_seconds": 1.0, "min_slices": 8},
            "routes": {"MINE": {"phase": "venous", "model": str(package), "destinations": ["out"]}},
            "destinations": {"out": {"type": "folder", "path": str(tmp_path / "out")}},
        }
    )
    peers.send(node, [phantom_series], called_ae="MINE")
    job = _ended(node, 1)["MINE"]
    assert (job["state"], job["reason"]) == ("done", None)
    (derived, *_) = (dcmread(path) for path in (tmp_path / "out").rglob("*.dcm"))
    assert derived.ManufacturerModelName.startswith("outside ")
