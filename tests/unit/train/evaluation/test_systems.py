"""What is evaluated: packages through the product's own way, samples, and the ceiling that only stage 1 can set."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from safetensors.torch import save_file
from typer.testing import CliRunner

from s2ldm_core.package import ModelPackage, save_package
from s2ldm_core.sampling import Sampling
from s2ldm_core.systems import build_system
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from tests.tiny_model import write_tiny_package
from train.commands.evaluate import evaluate
from train.errors import TrainError
from train.evaluation import candidates, ensemble
from train.evaluation.cases import EvaluationCase
from train.store import write_case

NETWORK = {
    "autoencoder": {"kind": "plain", "channels": (4, 4), "blocks": (1, 1), "latent": 2, "source_conditioned": False},
    "diffusion": {"channels": (4, 4)},
}


def _s2ldm(seed: Any, **network: Any) -> Any:
    torch.manual_seed(seed)
    system = build_system("s2ldm", {**NETWORK, **network})
    with torch.no_grad():  # heads start at zero, which would answer the same whatever the weights are
        for parameter in system.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return system.eval()


def _save(folder: Any, system: Any) -> Any:
    metadata = {
        "name": "tiny",
        "version": "1",
        "window_hu": (-200.0, 500.0),
        "spacing_mm": (3.0, 1.5, 1.5),
        "min_slices": 2,
        "intended_use": "tests",
        "training_data": {},
        "metrics": {},
    }
    return save_package(folder, system=system, metadata=metadata)


def _write_run(folder: Any, system: Any) -> Any:
    folder.mkdir()
    save_file(system.state_dict(), folder / "autoencoder.safetensors")
    config = {"system": "s2ldm", "network": system.config.model_dump(mode="json")}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("packages")
    return {
        "S2LDM": _save(folder / "s2ldm", _s2ldm(1)),
        "U-Net": ModelPackage.load(write_tiny_package(folder / "unet")),
    }


@pytest.fixture(scope="module")
def stage_one_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _write_run(tmp_path_factory.mktemp("runs") / "run", _s2ldm(2))


@pytest.fixture(scope="module")
def scan() -> Any:
    rng = np.random.default_rng(0)
    source = Volume(hu=rng.normal(40, 20, (8, 24, 24)).astype(np.float32), affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    target = source.with_hu(source.hu + 60)
    case = EvaluationCase(
        name="a",
        patient="a",
        source=source,
        phases=("arterial", "venous"),
        target=lambda phase: target,
        labels=None,
        organs={},
    )
    return case, target


def test_identity_comes_first_and_every_package_has_its_rows(packages: Any) -> None:
    table = candidates(packages, device="cpu")
    assert [(row.label, row.kind) for row in table] == [
        ("identity", "identity"),
        ("S2LDM", "model"),
        ("S2LDM: shipped autoencoder", "autoencoder"),
        ("U-Net", "model"),
    ]


def test_a_package_answers_as_the_product_does(packages: Any, scan: Any) -> None:
    answer = candidates(packages, device="cpu")[1].answer(*scan, "venous")
    expected = Translator.load(packages["S2LDM"].path, device="cpu").translate(scan[0].source, phase="venous").volume.hu
    assert np.array_equal(answer.hu, expected)


def test_only_systems_that_can_sample_have_an_uncertainty(packages: Any, scan: Any) -> None:
    table = candidates(packages, sampling=Sampling(samples=3), device="cpu")
    (row,) = [row for row in table if row.kind == "samples"]
    assert row.label == "S2LDM, mean of 3"
    answer = row.answer(*scan, "arterial")
    translator = Translator.load(packages["S2LDM"].path, device="cpu")
    drawn = np.stack(
        [
            translator.translate(scan[0].source, phase="arterial", seed=seed, sampling=Sampling(steps=2)).volume.hu
            for seed in range(3)
        ]
    )
    np.testing.assert_allclose(answer.hu, drawn.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(answer.deviation_hu, drawn.std(axis=0, ddof=1), atol=1e-3)
    assert answer.deviation_hu.max() > 0.1


def test_a_package_that_heeds_a_value_also_answers_with_that_of_the_case(
    packages: Any, scan: Any, tmp_path: Path
) -> None:
    case, target = scan
    told = ModelPackage.load(write_tiny_package(tmp_path / "told", seconds=True))
    table = candidates({**packages, "told": told}, tell={"seconds": None}, device="cpu")
    untold, row = (one for one in table if one.kind == "model" and one.label.startswith("told"))
    assert row.label == "told, told seconds"
    assert row.identity != untold.identity
    known = replace(case, values=lambda phase: {"seconds": {"arterial": 110.0, "venous": np.nan}[phase]})
    translator = Translator.load(told.path, device="cpu")
    asked = translator.translate(case.source, phase="arterial", values={"seconds": 110.0}).volume.hu
    usual = translator.translate(case.source, phase="arterial").volume.hu
    assert np.array_equal(row.answer(known, target, "arterial").hu, asked)
    assert np.array_equal(untold.answer(known, target, "arterial").hu, usual)
    assert np.abs(asked - usual).max() > 0.01
    assert np.array_equal(
        row.answer(known, target, "venous").hu, translator.translate(case.source, phase="venous").volume.hu
    )
    with pytest.raises(TrainError, match=r"seconds.*known: contrast_dose"):
        candidates(packages, tell={"seconds": None}, device="cpu")


def test_values_are_told_together_and_every_package_heeds_a_dose(packages: Any, scan: Any, tmp_path: Path) -> None:
    case, target = scan
    heeds = ModelPackage.load(write_tiny_package(tmp_path / "heeds", seconds=True))
    table = candidates({**packages, "heeds": heeds}, tell={"seconds": 110.0, "contrast_dose": None}, device="cpu")
    rows = {one.label: one for one in table}
    assert rows["S2LDM, told contrast_dose"].identity != rows["S2LDM"].identity
    row = rows["heeds, told seconds=110 and contrast_dose"]
    known = replace(case, values=lambda phase: {"contrast_dose": 0.5, "seconds": 40.0})
    both = {"seconds": 110.0, "contrast_dose": 0.5}
    asked = Translator.load(heeds.path, device="cpu").translate(case.source, phase="arterial", values=both).volume.hu
    assert np.array_equal(row.answer(known, target, "arterial").hu, asked)


def test_the_ceiling_is_the_autoencoder_as_stage_1_left_it(packages: Any, stage_one_run: Any, scan: Any) -> None:
    shipped = candidates(packages, device="cpu")[2]
    ceiling = candidates(packages, ceilings={"S2LDM": stage_one_run}, device="cpu")[2]
    assert (ceiling.label, ceiling.kind) == ("S2LDM: autoencoder ceiling", "ceiling")
    answers = [row.answer(*scan, "arterial").hu for row in (shipped, ceiling)]
    assert np.abs(answers[0] - answers[1]).max() > 0.1
    assert hashlib.sha256((stage_one_run / "autoencoder.safetensors").read_bytes()).hexdigest()[:12] in ceiling.identity


def test_without_fine_tuning_the_shipped_autoencoder_is_the_ceiling(tmp_path: Path) -> None:
    package = _save(tmp_path / "two", _s2ldm(1, stages=("autoencoder", "diffusion")))
    assert candidates({"a": package}, device="cpu")[2].kind == "ceiling"


@pytest.mark.parametrize(
    ("label", "network", "code"),
    [
        ("else", {}, "ceiling_unknown"),
        ("S2LDM", {"autoencoder": {**NETWORK["autoencoder"], "latent": 3}}, "ceiling_differs"),
        ("U-Net", {}, "ceiling_differs"),
        ("S2LDM", None, "ceiling_missing"),
    ],
)
def test_a_run_that_is_not_the_packages_own_is_refused(
    packages: Any, tmp_path: Path, label: str, network: Any, code: str
) -> None:
    run = tmp_path / "run"
    if network is not None:
        _write_run(run, _s2ldm(3, **network))
    with pytest.raises(TrainError) as error:
        candidates(packages, ceilings={label: run}, device="cpu")
    assert error.value.code == code


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    for number in range(2):
        native = rng.normal(40, 10, (8, 24, 24))
        write_case(
            folder,
            f"case-{number}",
            spacing_mm=(3.0, 1.5, 1.5),
            native=native,
            split="test",
            about={},
            changes={phase: np.full(native.shape, 50.0) for phase in ("arterial", "venous")},
        )
    return folder


def _invoke(*arguments: Any) -> Any:
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_evaluates_a_store_and_writes_its_report(
    packages: Any, stage_one_run: Any, store: Any, tmp_path: Path
) -> None:
    result = _invoke(
        f"S2LDM={packages['S2LDM'].path}",
        packages["U-Net"].path,
        "--store",
        store,
        "--ceiling",
        f"S2LDM={stage_one_run}",
        "--samples",
        2,
        "--viewer-cases",
        1,
        "--device",
        "cpu",
        "--output",
        tmp_path / "out",
    )
    assert result.exit_code == 0, result.output
    for label in ("identity", "S2LDM", "S2LDM, mean of 2", "S2LDM: autoencoder ceiling", "unet"):
        assert f"| {label} |" in result.stdout
    assert {"report.html", "report.md", "cases.csv", "summary.json"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--samples", "1"), "samples_too_few"),
        (("--window", "200", "-200"), "window_empty"),
        (("a=demo", "a=demo"), "label_twice"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(options: Any, code: str) -> None:
    result = _invoke("demo", *options)
    assert isinstance(result.exception, TrainError)
    assert result.exception.code == code


def test_packages_joined_answer_with_their_mean_and_spread(tmp_path: Path, packages: Any, scan: Any) -> None:
    other = _save(tmp_path / "other", _s2ldm(5))
    row = ensemble("both", [packages["S2LDM"], other], device="cpu")
    answer = row.answer(*scan, "venous")
    one, two = (
        Translator.load(package.path, device="cpu").translate(scan[0].source, phase="venous").volume.hu
        for package in (packages["S2LDM"], other)
    )
    np.testing.assert_allclose(answer.hu, (one + two) / 2, atol=1e-3)
    np.testing.assert_allclose(answer.deviation_hu, np.abs(one - two) / np.sqrt(2), atol=1e-3)
    assert answer.deviation_hu.max() > 0.1
    assert (row.kind, row.phases) == ("samples", ("arterial", "venous"))
