"""Every system of a plan trained alike and put into one table, on phantoms and on pairs of a store, with what it costs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from s2ldm_core.phantom import ORGANS
from train.ablation import ScoreSheet, Table1, load_plan, runs
from train.ablation.cost import Cost
from train.ablation.scores import ScanScore, ScoredOn
from train.cli import app
from train.errors import TrainError
from train.store import write_case


def _write(folder: Path, name: str, *, split: str = "train") -> None:
    rng = np.random.default_rng(0)
    native = rng.normal(40, 10, (12, 40, 40)).astype(np.float32)
    labels = np.full(native.shape, ORGANS["liver"], np.uint8)
    write_case(
        folder,
        name,
        spacing_mm=(3, 1.5, 1.5),
        native=native,
        changes={"arterial": np.full(native.shape, 30.0, np.float32)},
        labels=labels,
        organs={"liver": ORGANS["liver"]},
        split=split,
        about={},
    )


@pytest.fixture
def plan_path(tmp_path: Path) -> Path:
    _write(tmp_path / "store", "a")
    _write(tmp_path / "pairs", "real", split="test")
    training = {
        "name": "x",
        "system": "unet",
        "network": {"channels": [4, 4], "core_channels": [4, 4], "latent": 2, "phases": ["arterial"]},
        "stages": [{"name": "regression", "minutes": 1}],
        "data": {"store": "nowhere", "crop": [8, 32, 32]},
        "precision": "fp32",
    }
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(training))
    plan = {
        "name": "trial",
        "store": str(tmp_path / "store"),
        "phases": ["arterial"],
        "output": str(tmp_path / "runs"),
        "seeds": [0],
        "minutes": 0.005,
        "threads": 1,
        "held_out": {"count": 1, "slices": 16, "matrix": [64, 64], "spacing_mm": [6, 6, 6]},
        "rows": [
            {"label": "organ shift", "baseline": "organ_shift"},
            {"label": "U-Net", "config": "one.yaml"},
        ],
    }
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    return path


def test_all_rows_are_scored_on_phantoms_and_trained_ones_on_a_store_s_pairs(plan_path: Path, tmp_path: Path) -> None:
    arguments = ["table1", str(plan_path), "--output", str(tmp_path / "out"), "--pairs", str(tmp_path / "pairs")]
    done = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    table = (tmp_path / "out" / "table.md").read_text()
    found = json.loads((tmp_path / "out" / "table.json").read_text())
    assert list(found["means"]["phantoms"]["arterial"]) == ["identity", "organ shift", "U-Net"]
    assert list(found["means"]["real pairs"]["arterial"]) == ["identity", "U-Net"]
    assert "## Phantoms (n = 1)" in table
    assert "| U-Net | 0." in table
    cost = found["costs"]["U-Net"]
    assert cost["parameters"] > 100
    assert cost["seconds"] > 0
    # All is kept: asked again, nothing is trained, not even where the runs are gone.
    (tmp_path / "runs").rename(tmp_path / "gone")
    again = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert again.exit_code == 0, again.output
    assert not (tmp_path / "runs").exists()
    assert (tmp_path / "out" / "table.md").read_text() == table


def test_other_pairs_are_scored_anew(plan_path: Path, tmp_path: Path) -> None:
    plan = load_plan(plan_path)
    baseline, trained = runs(plan, beside=tmp_path)

    def sheet(digest: str) -> ScoreSheet:
        pairs = ScoredOn(name="pairs", digest=digest, scans=1)
        return ScoreSheet(tmp_path / "out", plan=plan, runs=[baseline, trained], sets=[pairs])

    def score(system: str, data: str, run: str, seed: int | None = 0) -> ScanScore:
        return ScanScore(data=data, system=system, seed=seed, run=run, phase="arterial", case="x", values={})

    phantoms = plan.held_out_digest
    first = sheet("one")
    first.add(
        [
            score("organ shift", "phantoms", baseline.digest),
            score("U-Net", "phantoms", trained.digest),
            score("U-Net", "pairs", f"{trained.digest}-one"),
            score("identity", "phantoms", phantoms, None),
        ]
    )
    assert (first.has(baseline), first.has(trained)) == (True, False)  # identity on the pairs is still to come
    first.add([score("identity", "pairs", "one", None)])
    assert first.has(trained)
    assert sheet("one").has(trained)
    assert (sheet("two").has(baseline), sheet("two").has(trained)) == (True, False)
    assert [each.data for each in sheet("two").scores] == ["phantoms"] * 3


def test_a_row_is_either_trained_or_a_baseline(plan_path: Path) -> None:
    plan = yaml.safe_load(plan_path.read_text())
    plan["rows"][0]["config"] = "one.yaml"
    plan_path.write_text(yaml.safe_dump(plan))
    with pytest.raises(TrainError, match="either config or baseline"):
        load_plan(plan_path)


def test_pairs_cannot_take_the_phantoms_name(plan_path: Path, tmp_path: Path) -> None:
    plan = yaml.safe_load(plan_path.read_text())
    plan["pairs"] = [{"store": str(tmp_path / "pairs"), "title": "phantoms"}]
    plan_path.write_text(yaml.safe_dump(plan))
    with pytest.raises(TrainError, match=r"pairs\.0\.title"):
        load_plan(plan_path)


def test_intervals_are_over_patients_and_left_out_where_they_say_nothing() -> None:
    def table(values: list[list[float]]) -> Any:
        scores = [
            ScanScore(system="row", seed=seed, run="", phase="venous", case=str(case), values={"psnr_db": value})
            for case, seeds in enumerate(values)
            for seed, value in enumerate(seeds)
        ]
        return Table1.of(scores, {"row": Cost(parameters=1_500_000, seconds=2.0, memory_gib=0.5)})

    found = table([[10.0, 12.0], [20.0, 22.0], [30.0, 32.0], [40.0, 42.0]])
    mean = found.means["phantoms"]["venous"]["row"]["psnr_db"]
    assert (mean.value, mean.patients) == (26.0, 4)
    # Of 11, 21, 31, 41: standard deviation 12.91, t of three degrees of freedom 3.182.
    assert mean.half_width == pytest.approx(3.18245 * 12.9099 / 2, abs=1e-3)
    assert "| row | – | – | 26.00 ± 20.54 | – |" in found.markdown()
    assert "| row | 1.50 | 2.00 | 0.50 |" in found.markdown()
    assert "memory, GiB | processor seconds |" in found.markdown()
    assert table([[1.0], [2.0], [3.0]]).means["phantoms"]["venous"]["row"]["psnr_db"].half_width is None
