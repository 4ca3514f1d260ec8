"""Every adversarial system through the same door: fit, die, resume bit for bit, export, translate."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from s2ldm_core.systems import system_class
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from tests.adversarial_systems import STAGES, TINY, tiny_config, two_pairs
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
