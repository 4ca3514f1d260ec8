"""Runs as a researcher has them: extended, watched, cross-validated, the best kept."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.tiny_training import CROP, fit_config, fit_until, write_pair
from tests.unit.train.fit.test_fit import _history, _same
from train.checkpoint import load_checkpoint
from train.config import load_config
from train.errors import TrainError
from train.fit import Fit, finished_system
from train.store import PairStore, place_case


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for seed in range(2):
        write_pair(folder, seed)
    return folder


def test_a_finished_run_with_a_larger_budget_goes_on_in_its_last_stage(store: Any, tmp_path: Path) -> None:
    first = Fit(fit_config(store, tmp_path)).fit().state_dict()
    before = {key: value.clone() for key, value in first.items()}
    stages = [{"name": name, "steps": 3, "lr": 2e-3} for name in ("autoencoder", "diffusion")]
    more = fit_config(store, tmp_path, stages=[*stages, {"name": "finetune", "steps": 5, "lr": 2e-3}])
    after = Fit(more).fit().state_dict()
    assert not _same(after, before)
    steps = {
        stage: [line["step"] for line in _history(tmp_path / "run") if line["stage"] == stage]
        for stage in ("diffusion", "finetune")
    }
    assert steps == {"diffusion": [1, 2, 3], "finetune": [1, 2, 3, 4, 5]}
    assert _same(Fit(more).fit().state_dict(), after)


def test_a_run_cut_short_ends_where_it_is_when_its_stage_is_given_less(store: Any, tmp_path: Path) -> None:
    """With the weights averaged until then."""
    fit_until(fit_config(store, tmp_path, steps=6), stage=2, step=4)
    found = load_checkpoint(tmp_path / "run")
    assert found is not None
    with pytest.raises(TrainError, match="stopped in stage finetune at step 4") as caught:
        finished_system(tmp_path / "run")
    assert "stages.finetune" in caught.value.remedy
    stages = [{"name": name, "steps": 6, "lr": 2e-3} for name in ("autoencoder", "diffusion")]
    Fit(fit_config(store, tmp_path, stages=[*stages, {"name": "finetune", "steps": 1, "lr": 2e-3}])).fit()
    _, system = finished_system(tmp_path / "run")
    shipped = system.shipped()
    assert all(torch.equal(value, shipped[key]) for key, value in found[1]["ema"].items())
    steps = [line["step"] for line in _history(tmp_path / "run") if line["stage"] == "finetune"]
    assert steps == [1, 2, 3, 4]


def test_what_is_logged_are_means_with_rate_speed_and_memory(store: Any, tmp_path: Path) -> None:
    Fit(fit_config(store, tmp_path / "each", steps=4)).fit()
    Fit(fit_config(store, tmp_path / "pairs", steps=4, log_steps=2)).fit()
    each, pairs = (_history(tmp_path / name / "run") for name in ("each", "pairs"))
    assert pairs[0]["step"] == 2
    assert pairs[0]["loss"] == pytest.approx((each[0]["loss"] + each[1]["loss"]) / 2)
    assert 0 < pairs[0]["lr"] <= 2e-3
    assert pairs[0]["crops_per_second"] > 0
    assert 0.01 < pairs[0]["memory_gib"] < 1000


def test_the_best_weights_of_a_stage_are_kept_beside_the_last(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    write_pair(folder, 0)
    write_pair(folder, 1, split="validation")
    config = fit_config(folder, tmp_path, steps=4, validation={"steps": 1, "minutes": None, "slices": 8})
    Fit(config).fit()
    run = tmp_path / "run"
    lines = [line for line in _history(run, "validation") if line["stage"] == "finetune"]
    errors = {line["step"]: (line["arterial/mae_body_hu"] + line["venous/mae_body_hu"]) / 2 for line in lines}
    kept = json.loads((run / "finetune.best.json").read_text())
    assert kept["mae_body_hu"] == pytest.approx(min(errors.values()))
    assert kept["step"] == min(errors, key=lambda step: errors[step])
    _, best = finished_system(run, best=True)
    _, last = finished_system(run)
    assert _same(best.state_dict(), last.state_dict()) == (kept["step"] == 4)


def test_without_a_terminal_a_run_says_where_it_is(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.fit.telling.LINE_SECONDS", 0.0)
    said = io.StringIO()
    Fit(fit_config(store, tmp_path), console=Console(file=said)).fit()
    assert "diffusion: 67%, step 2" in said.getvalue()


def test_a_plan_given_to_fit_is_sent_to_ablate(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("name: x\nminutes: 3\nrows: []\n", encoding="utf-8")
    with pytest.raises(TrainError, match="is a plan") as caught:
        load_config(plan)
    assert caught.value.code == "config_is_plan"
    assert "s2ldm-train ablate" in caught.value.remedy


def test_folds_deal_every_patient_into_validation_once_and_leave_test_patients_out(tmp_path: Path) -> None:
    for seed in range(7):
        write_pair(tmp_path, seed, split="test" if seed == 6 else "validation" if seed == 5 else "train")
    folds = [
        {split: set(PairStore(tmp_path, split=split, fold=(number, 3)).names) for split in ("train", "validation")}
        for number in range(3)
    ]
    everyone = {f"phantom-{seed:06d}" for seed in range(6)}
    assert all(fold["train"] | fold["validation"] == everyone for fold in folds)
    assert sorted(name for fold in folds for name in fold["validation"]) == sorted(everyone)
    assert PairStore(tmp_path, split="test", fold=(0, 3)).names == ["phantom-000006"]


def test_folds_of_a_table_hold_and_others_are_refused(tmp_path: Path) -> None:
    """Folds 1, 3 and 4 of the table are the run's 0, 1 and 2."""
    for seed, fold in enumerate((4, 1, 3, 1)):
        write_pair(tmp_path, seed)
        place_case(tmp_path, f"phantom-{seed:06d}", split="train", fold=fold)
    validating = [PairStore(tmp_path, split="validation", fold=(number, 3)).names for number in range(3)]
    assert validating == [["phantom-000001", "phantom-000003"], ["phantom-000002"], ["phantom-000000"]]
    with pytest.raises(TrainError, match="into 3 folds; the run asks for 2"):
        PairStore(tmp_path, fold=(0, 2))
    place_case(tmp_path, "phantom-000002", split="train", fold=None)
    with pytest.raises(TrainError, match="into 2 folds and 1 into none"):
        PairStore(tmp_path, fold=(0, 2))


def test_a_run_on_a_fold_trains_and_validates_on_it(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    for seed in range(4):
        write_pair(folder, seed)
    config = fit_config(folder, tmp_path, data={"store": folder, "crop": CROP, "fold": {"number": 1, "of": 4}})
    fit = Fit(config)
    assert len(fit.store) == 3
    assert [case.name for case in fit.validation.cases] == PairStore(folder, split="validation", fold=(1, 4)).names


def test_patients_who_are_left_out_are_neither_trained_on_nor_validated_on(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    for seed, split in enumerate(("train", "train", "validation", "validation")):
        write_pair(folder, seed, split=split)
    left = {"store": folder, "crop": CROP, "leave_out": ["phantom-000001", "phantom-000002"]}
    run = Fit(fit_config(folder, tmp_path, data=left, validation={"steps": 1, "cases": 9}))
    assert run.store.names == ["phantom-000000"]
    assert [case.name for case in run.validation.cases] == ["phantom-000003"]


def test_a_patient_to_leave_out_whom_the_store_does_not_have_is_an_error(store: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"no case of nobody; it has phantom-000000, phantom-000001\.") as caught:
        Fit(fit_config(store, tmp_path, data={"store": store, "crop": CROP, "leave_out": ["nobody"]}))
    assert caught.value.code == "patient_unknown"


def test_to_leave_everybody_out_is_an_error(store: Any, tmp_path: Path) -> None:
    everybody = ["phantom-000000", "phantom-000001"]
    with pytest.raises(TrainError, match="of the patients asked for belongs to the train split") as caught:
        Fit(fit_config(store, tmp_path, data={"store": store, "crop": CROP, "leave_out": everybody}))
    assert caught.value.code == "split_empty"
