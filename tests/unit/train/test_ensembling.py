"""Finished packages that answer together as one."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from s2ldm_core.errors import PackageError
from s2ldm_core.package import CARD, NETWORK, WEIGHTS, ModelPackage, save_package
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from tests.adversarial_systems import TINY
from tests.tiny_training import PLAIN, fit_config, packaged, write_pair
from train.cli import app
from train.distilling import distill
from train.ensembling import ensemble
from train.errors import TrainError
from train.export import export
from train.fit import Fit
from train.fit.ancestry import taught_on
from train.store import PairStore

PHANTOM = "digital torso phantom (s2ldm_core.phantom)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ensembling")


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, ModelPackage]:
    for seed in range(3):
        write_pair(folder / "pairs" if seed < 2 else folder / "others", seed)

    pairs, arterial = folder / "pairs", {**PLAIN, "phases": ("arterial",)}
    return {
        "one": packaged(pairs, folder, "one", network=PLAIN),
        "two": packaged(folder / "others", folder, "two", network=PLAIN, seed=5),
        "arterial": packaged(pairs, folder, "arterial", network=arterial),
    }


@pytest.fixture(scope="module")
def joined(folder: Path, trained: dict[str, ModelPackage]) -> ModelPackage:
    return ensemble([trained["one"], trained["two"]], folder / "joined", name="joined", version="2", shares=(3, 1))


def answer(package: ModelPackage, hu: np.ndarray, phase: str) -> np.ndarray:
    source = Volume(hu=hu, affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    return Translator.load(package.path, device="cpu", refuse_answers=False).translate(source, phase=phase).volume.hu


@pytest.fixture(scope="module")
def hu(folder: Path, trained: dict[str, ModelPackage]) -> np.ndarray:
    return np.asarray(PairStore(folder / "pairs", split=None)[0].native, np.float32)


def test_it_answers_with_the_mean_in_the_shares_asked_for(
    trained: dict[str, ModelPackage], joined: ModelPackage, hu: np.ndarray
) -> None:
    for phase in ("arterial", "venous"):
        one, two = (answer(trained[name], hu, phase) for name in ("one", "two"))
        assert np.abs(one - two).max() > 0.2
        assert np.abs(answer(joined, hu, phase) - (3 * one + two) / 4).max() < 0.01


def test_half_the_size_for_a_rounding(
    folder: Path, trained: dict[str, ModelPackage], joined: ModelPackage, hu: np.ndarray
) -> None:
    done = CliRunner().invoke(
        app,
        [
            "ensemble",
            *(str(trained[name].path) for name in ("one", "two")),
            *("--share", "0.75", "--share", "0.25", "--half"),
            *("--output", str(folder / "half"), "--name", "half", "--version", "3"),
        ],
    )
    assert done.exit_code == 0, done.output
    half = ModelPackage.load(folder / "half")
    assert (half.metadata.name, half.metadata.version, half.metadata.system) == ("half", "3", "ensemble")
    assert (half.path / WEIGHTS).stat().st_size < 0.6 * (joined.path / WEIGHTS).stat().st_size
    assert np.abs(answer(half, hu, "venous") - answer(joined, hu, "venous")).max() < 0.3


def test_other_shares_of_the_same_weights_are_another_model(
    folder: Path, trained: dict[str, ModelPackage], joined: ModelPackage
) -> None:
    paths = [str(trained[name].path) for name in ("one", "two")]
    for share in ("0.75", "0.5"):
        rest = str(1 - float(share))
        arguments = ["ensemble", *paths, "--share", share, "--share", rest, "--output", str(folder / f"of-{share}")]
        done = CliRunner().invoke(app, [*arguments, "--name", "joined", "--version", joined.metadata.version])
        assert done.exit_code == 0, done.output
    again, other = (ModelPackage.load(folder / f"of-{share}") for share in ("0.75", "0.5"))
    assert again.metadata.weights_sha256 == joined.metadata.weights_sha256
    assert other.identity != again.identity


def test_its_metadata_say_what_answers_in_it_and_what_that_learnt_from(
    trained: dict[str, ModelPackage], joined: ModelPackage
) -> None:
    told = joined.metadata.training_data
    one, two = trained["one"], trained["two"]
    assert told["ensemble"] == f"0.75 of {one.identity}, 0.25 of {two.identity}"
    assert [(entry["name"], entry["weights_sha256"]) for entry in told["members"]] == [
        (member.metadata.name, member.metadata.weights_sha256) for member in (one, two)
    ]
    assert told["seeds"] == [0, 1, 2]
    assert told["sources"][0]["cases"] == 2
    card = (joined.path / CARD).read_text(encoding="utf-8")
    assert f"- ensemble: {told['ensemble']}\n" in card
    assert "training_data" not in card


def test_limits_of_answers_are_those_of_all(tmp_path: Path, trained: dict[str, ModelPackage]) -> None:
    def limited(name: str, answers: Any) -> ModelPackage:
        torch.manual_seed(len(name))
        system = trained["one"].build()
        with torch.no_grad():
            for parameter in system.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
        meta = trained["one"].metadata.plain()
        kept = {
            key: meta[key] for key in ("version", "window_hu", "spacing_mm", "intended_use", "training_data", "metrics")
        }
        return save_package(tmp_path / name, system=system, metadata={**kept, "name": name, "answers": answers})

    a = limited("a", {"arterial": {"thorax": {"fat": (-5.0, 9.0)}}})
    bb = limited("bb", {"arterial": {"thorax": {"fat": (-7.0, 8.0)}}, "venous": {"pelvis": {"soft": (1.0, 2.0)}}})
    ccc = limited("ccc", None)
    found = ensemble([a, bb, ccc], tmp_path / "made", name="made", version="1").metadata.answers
    assert found == {"arterial": {"thorax": {"fat": (-7.0, 9.0)}}, "venous": {"pelvis": {"soft": (1.0, 2.0)}}}
    dddd = limited("dddd", None)
    assert ensemble([ccc, dddd], tmp_path / "none", name="none", version="1").metadata.answers is None


def test_an_ensemble_joins_with_its_members(
    folder: Path, trained: dict[str, ModelPackage], joined: ModelPackage, tmp_path: Path, hu: np.ndarray
) -> None:
    three = packaged(folder / "pairs", tmp_path, "three", network=PLAIN, seed=9)
    both = ensemble([joined, three], tmp_path / "both", name="both", version="1")
    members: Any = both.build().config
    assert [round(member.share, 6) for member in members.members] == [0.375, 0.125, 0.5]
    expected = (answer(joined, hu, "venous") + answer(three, hu, "venous")) / 2
    assert np.abs(answer(both, hu, "venous") - expected).max() < 0.01


def test_a_run_starts_from_the_member_that_counts_most_or_trains_all(
    folder: Path, trained: dict[str, ModelPackage], joined: ModelPackage, tmp_path: Path
) -> None:
    stages = ({"name": "finetune", "steps": 1, "lr": 1e-3},)
    run = Fit(
        fit_config(folder / "pairs", tmp_path, name="member", network=PLAIN, init=str(joined.path), stages=stages)
    )
    begun = run.system.state_dict()
    assert all(torch.equal(value, begun[key]) for key, value in trained["one"].build().state_dict().items())
    network = joined.build().config.model_dump(mode="json")
    together = ({"name": "together", "steps": 2, "lr": 1e-3},)
    fit = Fit(
        fit_config(
            folder / "pairs",
            tmp_path,
            name="all",
            system="ensemble",
            network=network,
            init=str(joined.path),
            stages=together,
        )
    )
    fit.fit()
    made = export(fit.run, tmp_path / "all-made", name="all", version="1")
    assert made.metadata.training_data["started_from"]["weights_sha256"] == joined.metadata.weights_sha256
    before, after = joined.build().state_dict(), made.build().state_dict()
    assert {key.split(".")[0] for key in before if not before[key].equal(after[key])} == {"member_0", "member_1"}
    with pytest.raises(TrainError, match="of the system ensemble"):
        Fit(
            fit_config(
                folder / "pairs",
                tmp_path,
                name="unet",
                system="unet",
                network={},
                init=str(joined.path),
                stages=({"name": "regression", "steps": 1},),
            )
        )


def test_what_an_ensemble_teaches_was_learnt_from_all_that_its_members_learnt_from(
    folder: Path, joined: ModelPackage, tmp_path: Path
) -> None:
    assert taught_on(joined.metadata) == [{"source": PHANTOM, "licence": "none needed: synthetic, no patient data"}]
    meta = joined.metadata
    (one, two), patient = meta.training_data["members"], {"source": "a patient", "licence": "CC BY 4.0", "cases": 1}
    earlier = {"name": "e", "version": "1", "weights_sha256": "0" * 64, "training_data": {"sources": [patient]}}
    deep = {**two, "training_data": {**two["training_data"], "started_from": earlier}}
    told = meta.model_copy(update={"training_data": {**meta.training_data, "members": [one, deep]}})
    assert {"source": "a patient", "licence": "CC BY 4.0"} in taught_on(told)
    assert distill(joined, PairStore(folder / "pairs", split=None), tmp_path, device="cpu") == 2


def test_refusals(trained: dict[str, ModelPackage], joined: ModelPackage, tmp_path: Path) -> None:
    def code(*names: str, output: Path = tmp_path / "made", shares: tuple[float, ...] = ()) -> str:
        with pytest.raises(TrainError) as refused:
            ensemble([trained[name] for name in names], output, name="x", version="1", shares=shares)
        assert not (tmp_path / "made").exists()
        return refused.value.code

    assert code("one") == code("one", "one") == code("one", "two", "one") == "ensemble_of_one"
    assert code("one", "arterial") == "ensemble_differs"
    assert code("one", "two", output=joined.path) == "output_exists"
    for shares in ((1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, float("nan")), (1.0, 2.0, 3.0)):
        assert code("one", "two", shares=shares) == "bad_shares"


def test_a_package_whose_members_do_not_go_together_is_refused_as_a_package(
    joined: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(joined.path, tmp_path / "changed")
    members = [
        {"system": "ctagan", "share": 0.5, "network": {**TINY["ctagan"], "window_hu": window}}
        for window in ([-200, 500], [-200, 200])
    ]
    network = json.dumps({"phases": joined.metadata.phases, "members": members})
    (tmp_path / "changed" / NETWORK).write_text(network, encoding="utf-8")
    monkeypatch.setattr(ModelPackage, "verify", lambda self: None)
    with pytest.raises(PackageError, match="different HU windows") as refused:
        ModelPackage.load(tmp_path / "changed").build()
    assert refused.value.code == "package_invalid"
