"""The five commands of the README, in small: from a folder of studies to a model with which the node translates a series."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydicom import dcmread
from typer.testing import CliRunner

from dicom_node.cli import app as node
from tests.paths import ROOT
from tests.prepare_trees import small_phantom, write_study
from train.cli import app as train
from train.phantoms import write_labels

CONFIG = ROOT / "config" / "train" / "s2ldm_cpu.yaml"
SMALL = [
    "network.phases=[venous]",
    "network.autoencoder.channels=[4, 6]",
    "network.autoencoder.blocks=[1, 1]",
    "network.autoencoder.latent=3",
    "network.diffusion.channels=[4, 6]",
    "data.crop=[8, 32, 32]",
    "validation.cases=1",
    "stages=[{name: autoencoder, steps: 3}, {name: diffusion, steps: 3}, {name: finetune, steps: 3}]",
]


def _run(app: Any, *words: Any) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients who breathed between the phases, organs beside their scans."""
    root = tmp_path_factory.mktemp("studies")
    for seed in (5, 6, 7):
        phantom, patient = small_phantom(seed), root / f"phantom-{seed:06d}"
        write_study(phantom, {phase: patient / phase for phase in ("native", "venous")}, breathing=5.0)
        write_labels(phantom, patient / "native")
        write_labels(phantom, patient / "venous", breathing=5.0)
    return root


def test_five_commands_lead_from_studies_to_a_translated_series(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = _run(
        train,
        "prepare",
        studies,
        "runs/pairs",
        "--registration",
        "rigid",
        "--phases",
        "venous",
        "--spacing",
        "6",
        "4",
        "4",
    )
    assert "3 made" in output
    # In a process of its own, as at a prompt: accelerate keeps one precision for the life of a process.
    fit = [
        sys.executable,
        "-m",
        "train.cli",
        "fit",
        str(CONFIG),
        *(word for change in SMALL for word in ("--set", change)),
    ]
    subprocess.run(fit, check=True, env={**os.environ, "PYTHONPATH": str(CONFIG.parents[2])})
    _run(train, "export", "runs/s2ldm-cpu", "packages/mine", "--name", "mine")
    report = _run(
        train, "evaluate", "mine=packages/mine", "--store", "runs/pairs", "--split", "test", "--output", "runs/report"
    )
    assert "mine" in report
    assert (tmp_path / "runs" / "report" / "report.html").stat().st_size > 10_000
    manifest = yaml.safe_load((tmp_path / "runs" / "pairs" / "manifest.yaml").read_text())
    assert {case["split"] for case in manifest["cases"]} == {"train", "validation", "test"}
    series = studies / "phantom-000005" / "native"
    _run(node, "translate", series, "derived", "--phase", "venous", "--model", "packages/mine")
    sources = {file.ImagePositionPatient[2]: file for file in map(dcmread, series.glob("*.dcm"))}
    derived = [dcmread(file) for file in sorted((tmp_path / "derived").rglob("*.dcm"))]
    assert len(derived) == len(sources) == 12
    for instance in derived:
        source = sources[instance.ImagePositionPatient[2]]
        assert instance.ManufacturerModelName.startswith("mine ")
        assert "Model mine version" in instance.DerivationDescription
        assert instance.FrameOfReferenceUID == source.FrameOfReferenceUID
        np.testing.assert_allclose(instance.ImageOrientationPatient, source.ImageOrientationPatient)
