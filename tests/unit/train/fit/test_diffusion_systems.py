"""Each of these systems through the whole of training: fitted, resumed bit for bit, exported, loaded and asked for a phase."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from s2ldm_core.systems import system_class
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from tests.diffusion_systems import LATENT_CMDM, TINY
from tests.tiny_training import fit_config, write_pair
from train.export import export
from train.fit import Fit
from train.fit.step import OptimiserStep


class _KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for seed in range(2):
        write_pair(folder, seed, labels=True)
    return folder


NETWORKS = [*TINY.items(), ("cmdm", LATENT_CMDM)]


def _config(name: str, network: Any, store: Path, output: Path) -> Any:
    kind = system_class(name)
    cached = network is LATENT_CMDM  # the others encode crops as they come
    stages = tuple(
        {"name": s.name, "steps": 2, "lr": 2e-3, "latent_variants": int(cached and s.cached is not None)}
        for s in kind(kind.Config.model_validate(network)).stages
    )
    data = {"store": store, "crop": (8, 32, 32)}
    return fit_config(store, output, system=name, network=network, stages=stages, data=data, checkpoint_steps=1)


@pytest.mark.parametrize(("name", "network"), NETWORKS, ids=[*TINY, "cmdm in latents"])
def test_it_is_fitted_resumed_bit_for_bit_exported_and_translates(
    name: str, network: Any, store: Path, tmp_path: Path
) -> None:
    expected = Fit(_config(name, network, store, tmp_path / "whole"))
    stages = expected.system.stages
    whole = expected.fit().state_dict()
    step = OptimiserStep.__call__
    deaths = iter([(index, 1) for index in range(len(stages))])
    death = next(deaths)

    def dying(self: Any, draw: Any, **where: Any) -> Any:
        if (self._index, where["step"]) == death:
            raise _KilledError
        return step(self, draw, **where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OptimiserStep, "__call__", dying)
        for _ in stages:  # killed in the middle of every stage
            with pytest.raises(_KilledError):
                Fit(_config(name, network, store, tmp_path / "killed")).fit()
            death = next(deaths, (-1, -1))
    run = Fit(_config(name, network, store, tmp_path / "killed"))
    resumed = run.fit().state_dict()
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())

    package = export(run.run, tmp_path / "package", name=name, version="1")
    shipped = {key.split(".")[0] for key in load_file(package.path / "model.safetensors")}
    assert not shipped & set(system_class(name).training_only)
    hu = np.random.default_rng(0).normal(40, 20, (10, 30, 30)).astype("f4")
    source = Volume(hu=hu, affine=np.diag([1.5, 1.5, 3, 1]))
    translator = Translator.load(package.path, device="cpu")
    first, second = (translator.translate(source, phase="venous", seed=1).volume.hu for _ in range(2))
    assert np.array_equal(first, second)
    assert np.isfinite(first).all()
    assert np.abs(first - source.hu).max() > 0
