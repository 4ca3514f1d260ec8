"""Every adversarial system through the same door: fit, die, resume bit for bit, export, translate."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from s2ldm_core.systems import Batch, Condition, Turn, build_system, system_class
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from tests.adversarial_systems import CROP, STAGES, TINY, tiny_config, two_pairs
from tests.tiny_training import fit_until
from train.export import export
from train.fit import Fit


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_killed_run_resumes_bit_for_bit_is_exported_and_translates(name: str, tmp_path: Path) -> None:
    store = two_pairs(tmp_path / "store")
    expected = Fit(tiny_config(name, store, tmp_path / "whole")).fit().state_dict()
    config = tiny_config(name, store, tmp_path / "killed")
    fit_until(config, stage=len(STAGES[name]) - 1, step=3)  # the last checkpoint is of step 2
    run = Fit(config)
    resumed = run.fit().state_dict()
    assert set(resumed) == set(expected)
    assert all(torch.equal(resumed[key], value) for key, value in expected.items())

    package = export(run.run, tmp_path / "package", name=name, version="1")
    shipped = {key.split(".")[0] for key in load_file(package.path / "model.safetensors")}
    assert shipped
    assert shipped.isdisjoint(system_class(name).training_only)
    hu = np.random.default_rng(0).normal(40, 20, (12, 30, 30)).astype("f4")
    source = Volume(hu=hu, affine=np.diag([1.5, 1.5, 3, 1]))
    result = Translator.load(package.path, device="cpu").translate(source, phase="venous")
    assert result.volume.hu.shape == hu.shape
    assert np.abs(result.volume.hu - hu).max() > 0.05


@pytest.mark.parametrize("name", sorted(TINY))
def test_its_losses_and_gradients_are_finite_in_bf16(name: str) -> None:
    torch.manual_seed(0)
    system = build_system(name, TINY[name]).train()
    images = {key: torch.rand((1, 1, *CROP)) - 0.5 for key in ("source", "change", "target")}
    batch = Batch(images=images, condition=Condition(phase=torch.tensor([1])))
    for stage in STAGES[name]:
        turn = Turn(progress=0.5, generator=torch.Generator().manual_seed(0))
        for player in system.players(stage):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss, _ = system.loss(stage, player.name, batch, turn)
            loss.backward()
            assert loss.isfinite()
            assert all(bool(p.grad.isfinite().all()) for p in player.parameters if p.grad is not None)
