"""Runs that start from a package: its weights, its name in what they become, and only the stages that are wanted."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from s2ldm_core.package import WEIGHTS
from s2ldm_core.systems import Condition
from tests.tiny_training import NETWORK, STAGES, fit_config, fit_until, write_pair
from train.averaging import average
from train.card import model_card
from train.errors import TrainError
from train.export import export
from train.fit import Fit
from train.fit.record import HISTORY


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("store")
    write_pair(folder, 0)
    return folder


@pytest.fixture(scope="module")
def package(store: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("first")
    run = Fit(fit_config(store, folder, steps=1))
    run.fit()
    return export(run.run, folder / "package", name="first", version="3")


def _last_stage(store: Any, output: Any, package: Any, **changes: Any) -> Any:
    stages = ({"name": "finetune", "steps": 1, "lr": 1e-3},)
    return fit_config(store, output, name="second", init=str(package.path), stages=stages, **changes)


def test_the_run_starts_from_the_package_s_weights(store: Any, package: Any, tmp_path: Path) -> None:
    started = Fit(_last_stage(store, tmp_path, package)).system.state_dict()
    assert all(torch.equal(value, started[key]) for key, value in package.build().state_dict().items())


def test_a_deeper_network_begins_with_the_package_s_answer(store: Any, package: Any, tmp_path: Path) -> None:
    deep = {
        **NETWORK,
        "autoencoder": {**NETWORK["autoencoder"], "blocks": (2, 3)},
        "diffusion": {**NETWORK["diffusion"], "blocks": 2},
    }
    fit = Fit(_last_stage(store, tmp_path, package, network=deep))
    source, condition = torch.rand(1, 1, 8, 32, 32) - 0.5, Condition(phase=torch.tensor([1]))
    with torch.no_grad():
        answers = [
            system.eval().predict_change(source, condition) for system in (package.build(), fit.system.cpu().float())
        ]
    assert answers[0].abs().max() > 0
    assert_close(answers[1], answers[0])
    new = [key for key in fit.system.shipped() if key not in package.build().shipped()]
    assert len(new) > 8 * 8
    before = {key: value.clone() for key, value in fit.system.shipped().items()}
    fit.fit()
    assert all(not torch.equal(fit.system.shipped()[key], before[key]) for key in new if ".conv2." in key)
    grown = export(fit.run, tmp_path / "grown", name="grown", version="1")
    middle = average(package, grown, tmp_path / "middle", share=0.5, name="middle", version="1")
    weights, half = load_file(grown.path / WEIGHTS), load_file(middle.path / WEIGHTS)
    for key in new:
        assert_close(half[key], weights[key] / 2 if ".conv2." in key else weights[key])


def test_the_last_stage_alone_is_trained_and_the_result_names_where_it_came_from(
    store: Any, package: Any, tmp_path: Path
) -> None:
    run = Fit(_last_stage(store, tmp_path, package))
    trained = run.fit().state_dict()
    assert any(not torch.equal(value, trained[key]) for key, value in package.build().state_dict().items())
    made = export(run.run, tmp_path / "package", name="second", version="1").metadata
    assert made.training_data["started_from"]["weights_sha256"] == package.metadata.weights_sha256
    assert made.training_data["started_from"]["training_data"]["cases"] == 1
    before = f"{package.metadata.name} {package.metadata.version} (weights {package.metadata.weights_sha256[:12]}…)"
    assert f"- started from: {before}\n" in model_card(made)
    again = made.model_copy(update={"training_data": {"started_from": made.model_dump(mode="json")}})
    assert f"(weights {made.weights_sha256[:12]}…), which started from {before}\n" in model_card(again)


def test_tissues_are_named_first_and_a_killed_run_still_knows_them(package: Any, tmp_path: Path) -> None:
    write_pair(tmp_path / "store", 0, labels=True)
    features = {**NETWORK, "loss": {"features": 1.0}, "stages": ("tissues", "finetune")}

    def config(name: str, *stages: str) -> Any:
        wanted = tuple({"name": stage, "steps": 3, "lr": 1e-2} for stage in stages)
        more = {"name": name, "init": str(package.path), "stages": wanted, "network": features}
        return fit_config(tmp_path / "store", tmp_path, **more)

    with pytest.raises(ValueError, match="stages must have tissues: no package holds what it trains"):
        config("untaught", "finetune")
    through, killed = config("through", "tissues", "finetune"), config("killed", "tissues", "finetune")
    whole = Fit(through).fit().state_dict()
    fit_until(killed, stage=1, step=2)
    resumed = Fit(killed).fit().state_dict()
    assert any(key.startswith("tissues.core.") and value.any() for key, value in whole.items())
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    history = [json.loads(line) for line in (tmp_path / "through" / HISTORY).read_text().splitlines()]
    assert [line["naming"] for line in history if line["stage"] == "tissues"][-1] > 0
    assert [line["features"] for line in history if line["stage"] == "finetune"][-1] > 0
    made = export(tmp_path / "through", tmp_path / "made", name="made", version="1")
    assert load_file(made.path / WEIGHTS).keys() == load_file(package.path / WEIGHTS).keys()
    average(package, made, tmp_path / "middle", share=0.5, name="middle", version="1")


def test_without_a_package_no_stage_can_be_left_out(store: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in this order"):
        fit_config(store, tmp_path, stages=({"name": STAGES[-1], "steps": 1},))


def test_a_package_of_another_network_or_phases_is_refused(store: Any, package: Any, tmp_path: Path) -> None:
    wide = {**NETWORK, "autoencoder": {**NETWORK["autoencoder"], "channels": (4, 8)}}
    with pytest.raises(TrainError, match="another network"):
        Fit(_last_stage(store, tmp_path, package, network=wide))
    with pytest.raises(TrainError, match="venous, arterial"):
        Fit(
            _last_stage(
                store,
                tmp_path,
                package,
                network={**package.build().config.model_dump(), "phases": ("venous", "arterial")},
            )
        )
