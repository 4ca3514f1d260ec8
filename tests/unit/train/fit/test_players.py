"""A system with two optimisers that another package offers: fit, resume, export, translate, without a line for it in this repository."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from s2ldm_core.errors import TranslationError
from s2ldm_core.systems import registry
from s2ldm_core.systems.registry import GROUP
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from tests.tiny_training import fit_config, write_pair
from train.checkpoint import load_checkpoint
from train.cli import app
from train.export import export
from train.fit import Fit
from train.fit.step import OptimiserStep

CHANGES = {"system": "tiny_gan", "network": {"channels": 4}}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("tiny_gan", "tests.tiny_gan:TinyGan", GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == GROUP else [])


@pytest.fixture
def store(tmp_path: Path) -> Any:
    for seed in range(2):
        write_pair(tmp_path / "store", seed)
    write_pair(tmp_path / "store", 2, split="validation")
    return tmp_path / "store"


def _config(store: Any, output: Any, *, steps: int = 4, **changes: Any) -> Any:
    stages = tuple({"name": name, "steps": steps, "lr": 2e-3} for name in ("copy", "gan"))
    return fit_config(store, output, **{**CHANGES, "stages": stages, **changes})


def test_it_is_trained_exported_and_translates(store: Any, tmp_path: Path) -> None:
    run = Fit(_config(store, tmp_path, validation={"steps": 2}))
    trained = run.fit()
    package = export(run.run, tmp_path / "package", name="gan", version="1")
    assert {key.split(".")[0] for key in load_file(package.path / "model.safetensors")} == {"generator"}
    source = Volume(
        hu=np.random.default_rng(0).normal(40, 20, (12, 30, 30)).astype("f4"), affine=np.diag([1.5, 1.5, 3, 1])
    )
    translator = Translator.load(package.path, device="cpu")
    default, early = (translator.translate(source, phase="venous", values=v) for v in (None, {"seconds": 20}))
    assert np.abs(default.volume.hu - source.hu).max() > 0.1
    assert not np.array_equal(default.volume.hu, early.volume.hu)
    assert trained.discriminator is not None
    with pytest.raises(TranslationError, match="cannot be asked for dose"):
        translator.translate(source, phase="venous", values={"dose": 1})
    lines = [json.loads(line) for line in (run.run / "history.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines if line["kind"] == "validation" and len(line) > 3} == {"gan"}


def test_each_player_has_its_optimiser_and_moves_only_its_own_parameters_from_its_start(
    store: Any, tmp_path: Path
) -> None:
    run = Fit(_config(store, tmp_path, checkpoint_steps=1))
    began = {key: value.clone() for key, value in run.system.state_dict().items()}
    seen = []
    step = OptimiserStep.__call__

    def watched(self: Any, draw: Any, **where: Any) -> Any:
        values = step(self, draw, **where)
        if self._index == 1:
            same = torch.equal(
                run.system.state_dict()["discriminator.judge.weight"], began["discriminator.judge.weight"]
            )
            groups = [seat.optimiser.param_groups[0]["lr"] for seat in self._seats]
            seen.append(("discriminator" in values, same, groups[1]))
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OptimiserStep, "__call__", watched)
        patch.setattr(Fit, "_end_stage", lambda self, index, stage: None)
        run.fit()
    assert [plays for plays, _, _ in seen] == [False, False, True, True]
    assert [same for _, same, _ in seen] == [True, True, False, False]
    assert [rate for *_, rate in seen[2:]] == [1e-3, 1e-3]  # half the stage's, steady


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("kill_at", [(0, 2), (1, 3)])
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(store: Any, tmp_path: Path, kill_at: Any) -> None:
    expected = Fit(_config(store, tmp_path / "whole")).fit().state_dict()
    step = OptimiserStep.__call__

    def dying(self: Any, draw: Any, **where: Any) -> Any:
        if (self._index, where["step"]) == kill_at:
            raise _KilledError
        return step(self, draw, **where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OptimiserStep, "__call__", dying)
        with pytest.raises(_KilledError):
            Fit(_config(store, tmp_path / "killed")).fit()
    if kill_at[0] == 1:
        _, state = load_checkpoint(tmp_path / "killed" / "run")
        assert set(state["players"]) == {"generator", "discriminator"}
        assert not any(key.startswith("discriminator") for key in state["ema"])
    resumed = Fit(_config(store, tmp_path / "killed")).fit().state_dict()
    assert all(torch.equal(resumed[key], value) for key, value in expected.items())


def test_both_players_take_the_step_of_the_whole_batch_in_micro_batches(store: Any, tmp_path: Path) -> None:
    weights = []
    for micro in (1, 2):
        data = {"store": store, "crop": (8, 32, 32), "batch": 2, "micro_batch": micro}
        weights.append(Fit(_config(store, tmp_path / str(micro), data=data)).fit().state_dict())
    del weights[0][
        "generator.0.weight"
    ]  # of the constant seconds its norm takes away: a gradient of nothing but rounding
    assert all(torch.allclose(value, weights[1][key], atol=1e-6) for key, value in weights[0].items())


def test_it_is_listed_with_its_stages_data_and_players() -> None:
    result = CliRunner().invoke(app, ["systems", "--json"])
    found = json.loads(result.stdout)
    assert list(found) == sorted({"tiny_gan", *registry._HOMES})
    assert [(s["name"], s["data"], s["players"]) for s in found["tiny_gan"]["stages"]] == [
        ("copy", "source", ["generator"]),
        ("gan", "paired", ["generator", "discriminator"]),
    ]
    assert found["s2ldm"]["stages"][1]["cached"] == "latent"
    assert "tiny_gan" in CliRunner().invoke(app, ["systems"]).stdout
