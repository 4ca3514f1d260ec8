"""A store's fingerprint, what a step needs, and a plan that fit takes: known answers and limits that hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from tests.tiny_training import NETWORK, PLAIN, fit_config, write_pair
from train.cli import app
from train.config import load_config
from train.crops import CropSampler
from train.errors import TrainError
from train.planning import demand as measuring
from train.planning.demand import Demand, demand_of, probe_crop
from train.planning.fingerprint import fingerprint
from train.planning.plan import largest_crop, planned
from train.store import PairStore, write_case


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for seed, split in enumerate(("train", "train", "test")):
        write_pair(folder, seed, split=split, phases=("arterial", "venous") if seed else ("venous",), labels=seed == 0)
    quality = {"before": {"mutual_information": 0.5, "fat_hu": None, "bone_edge_hu": 90.0}, "covered": 0.9}
    quality["after"] = {"mutual_information": 0.8, "fat_hu": 12.0, "bone_edge_hu": 60.0}
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"cases": [{"quality": {"venous": quality}}]}))
    return folder


def test_a_fingerprint_tells_what_the_store_was_made_of(store: Path) -> None:
    found = fingerprint(store, window_hu=(-200.0, 150.0))
    assert (found.cases, found.patients) == ({"train": 2, "test": 1}, {"train": 2, "test": 1})
    assert found.phases == {"arterial": 2, "venous": 3}
    assert (found.labelled, found.organs) == (1, ("aorta",))
    assert (found.smallest, found.median, found.largest) == ((12, 48, 40),) * 3
    low, middle, high = found.hu["soft"]["arterial"]  # 40 + 120 HU, noise of 5
    assert (low, middle, high) == pytest.approx((151.8, 160, 168.2), abs=1.5)
    assert found.hu["fat"]["native"][1] == pytest.approx(-100, abs=0.5)
    assert found.above_window["arterial"] == pytest.approx(0.977, abs=0.01)  # 160 ± 5 above 150
    assert found.above_window["venous"] == 0
    assert found.measured == {"arterial": 1, "venous": 1}
    fit = found.registration["venous"]
    assert (fit.pairs, fit.covered, fit.after["fat_hu"]) == (1, 0.9, 12.0)
    assert "fat_hu" not in fit.before
    assert "arterial" not in found.registration


def test_what_was_not_measured_is_in_no_number(tmp_path: Path) -> None:
    native = np.full((8, 24, 24), 40.0)
    valid = np.zeros(native.shape, bool)
    valid[:, :12] = True
    change = np.where(valid, 100.0, 0.0)
    arrays = {"native": native, "changes": {"venous": change}, "valid": {"venous": valid}}
    write_case(tmp_path, "a", spacing_mm=(3, 2, 2), **arrays, about={})
    found = fingerprint(tmp_path, window_hu=(-200.0, 500.0))
    assert found.measured["venous"] == 0.5
    assert found.hu["soft"]["venous"] == (140, 140, 140)


def test_the_axis_that_is_largest_beside_the_median_shape_shrinks_first() -> None:
    seen: list[Any] = []

    def affords(crop: Any) -> bool:
        seen.append(crop)
        return bool(np.prod(crop) <= 400_000)

    crop = largest_crop((60, 200, 100), stride=(2, 4, 4), affords=affords)
    assert seen[0] == (60, 200, 100)
    assert np.prod(crop) <= 400_000 < np.prod(seen[-2])
    np.testing.assert_allclose(np.divide(crop, (60, 200, 100)), (400_000 / 1_200_000) ** (1 / 3), atol=0.04)
    assert largest_crop((60, 200, 100), stride=(2, 4, 4), affords=lambda crop: False) is None
    assert largest_crop((5, 20, 20), stride=(2, 4, 4), affords=lambda crop: True) == (16, 48, 48)


def test_memory_is_what_autograd_keeps_and_grows_with_the_crop(store: Path, tmp_path: Path) -> None:
    config = fit_config(store, tmp_path, network={**PLAIN, "phases": ["venous"]})
    small, large = (demand_of(config, probe=probe) for probe in ((16, 32, 32), (16, 64, 64)))
    assert large.bytes_per_voxel == pytest.approx(small.bytes_per_voxel, rel=0.05)
    kept = measuring._Kept(torch.nn.Linear(3, 3))
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        x = torch.ones(1000, requires_grad=True)
        y = (x.exp() * x.exp().view(10, 100).view(-1)).sum()
    assert kept.bytes == 2 * 4000  # each exponential once, though the product keeps both again
    assert y.requires_grad


def _plan(store: Path, **changes: Any) -> Any:
    values = {
        "found": fingerprint(store, window_hu=(-200.0, 500.0)),
        "demand": Demand(fixed_bytes=2**20, bytes_per_voxel=1000.0, seconds_per_voxel=1e-5),
        "stride": (2, 4, 4),
        "memory_bytes": 2**30,
        "step_seconds": None,
    }
    base = {
        "data": {"batch": 3, "focus": {"share": 0.5, "organs": ["spleen"]}},
        "stages": [
            {"name": "a", "crop": [8, 8, 8], "batch": 5},
            {"name": "b", "batch": 30, "micro_batch": 15, "latent_variants": 2},
        ],
    }
    return planned(base, **{**values, **changes})


def test_batches_fill_the_memory_and_stages_keep_what_they_know(store: Path) -> None:
    plan = _plan(store)
    assert plan.values["data"]["crop"] == [16, 48, 48]
    assert (plan.values["data"]["micro_batch"], plan.values["data"]["batch"]) == (4, 4)
    assert plan.values["stages"] == [
        {"name": "a", "batch": 8},
        {"name": "b", "batch": 30, "micro_batch": 15, "latent_variants": 2},
    ]
    assert plan.values["data"]["focus"] is None
    assert any(reason.startswith("focus") for reason in plan.reasons)
    slow = _plan(store, step_seconds=1.0)
    assert (slow.values["data"]["micro_batch"], slow.values["data"]["batch"]) == (1, 3)


def test_too_little_memory_or_time_is_said(store: Path) -> None:
    for changes in ({"memory_bytes": 2**20}, {"step_seconds": 0.1}):
        with pytest.raises(TrainError, match="Not even crops of 16 × 48 × 48"):
            _plan(store, **changes)


def test_the_command_writes_a_configuration_that_fit_takes(store: Path, tmp_path: Path) -> None:
    base = fit_config(Path("elsewhere"), tmp_path, network=NETWORK).model_dump(mode="json")
    base["data"] = {"store": "elsewhere", "focus": {"share": 0.5, "organs": ["spleen"]}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    words = ["plan", store, "--base", tmp_path / "base.yaml", "--output", tmp_path / "mine.yaml", "--memory-gib", 2]
    shown = CliRunner().invoke(app, [*map(str, words), "--step-seconds", "60"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "registration, venous: 1 pairs" in shown.output
    config = load_config(tmp_path / "mine.yaml")
    assert (config.data.store, config.data.crop, config.data.focus) == (store, (16, 48, 48), None)
    assert yaml.safe_load((tmp_path / "mine.fingerprint.yaml").read_text())["median"] == [12, 48, 40]
    sampler = CropSampler(PairStore(store, split="train"), config.data, phases=("venous",), seed=0)
    assert sampler.batch(stage=0, step=0).source.shape == (1, 1, 16, 48, 48)
    assert probe_crop((2, 4, 4), (15, 30, 32)) == (16, 32, 32)
