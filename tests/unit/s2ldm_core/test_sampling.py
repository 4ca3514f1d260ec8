"""Several draws as one answer: mean and spread that are known, whatever the draws differ in and however they are tiled."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from s2ldm_core.ensemble import Ensemble
from s2ldm_core.errors import TranslationError
from s2ldm_core.package import ModelPackage
from s2ldm_core.sampling import Sampling, mean_and_spread
from s2ldm_core.systems import Condition, How, Stage, System, SystemConfig, Traits, build_system
from s2ldm_core.systems.base import AT_ONCE
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from tests.tiny_model import write_tiny_package

ARTERIAL = Condition(phase=torch.tensor([0]))
HU_A_UNIT = 350.0
"""The tiny package's window is 700 HU wide."""


class _Toy(System):
    name = "toy"
    Config = SystemConfig
    stages = (Stage(name="none"),)
    traits = Traits(multiple_of=(1, 1, 1), tiling="blend", samples=True)

    def __init__(self) -> None:
        super().__init__(SystemConfig())
        self.weight = nn.Parameter(torch.zeros(()))

    def players(self, stage: str) -> Any:
        return ()

    def loss(self, stage: str, player: str, batch: Any, turn: Any) -> Any:
        raise NotImplementedError


class _Seeded(_Toy):
    """A hundredth of the seed everywhere, but what it always is in one step."""

    def change(self, source: Any, condition: Any, how: How) -> Any:
        value = 0.01 if how.steps in (None, 1) or how.generator is None else 0.01 * how.generator.initial_seed()
        return torch.full_like(source, value)


class _Noisy(_Toy):
    """Unit noise in every voxel of a tile."""

    def change(self, source: Any, condition: Any, how: How) -> Any:
        return torch.randn(source.shape, generator=how.generator)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return ModelPackage.load(write_tiny_package(tmp_path_factory.mktemp("packages") / "tiny"))


@pytest.fixture(scope="module")
def scan() -> Volume:
    """Soft tissue everywhere."""
    return Volume(hu=np.full((6, 16, 16), 40.0, np.float32), affine=np.diag([1.5, 1.5, 3.0, 1.0]))


def _translator(package: ModelPackage, system: System) -> Translator:
    return Translator(package=package, system=system.eval(), device=torch.device("cpu"), refuse_answers=False)


def test_mean_and_spread_are_numpys() -> None:
    draws = np.random.default_rng(0).normal(50, 10, (5, 2, 3, 4)).astype(np.float32)
    for each in (iter(draws), iter(torch.from_numpy(draws))):
        mean, spread = mean_and_spread(each)
        np.testing.assert_allclose(mean, draws.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(spread, draws.std(axis=0, ddof=1), rtol=1e-4)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_draws_have_no_spread(count: int) -> None:
    with pytest.raises(ValueError, match="two draws"):
        mean_and_spread(iter([np.zeros((1, 2, 2))] * count))


def test_an_answer_of_several_draws_is_their_mean_and_their_spread_in_hu(package: ModelPackage, scan: Volume) -> None:
    translator = _translator(package, _Seeded())
    found = translator.translate(scan, phase="arterial", seed=3, sampling=Sampling(samples=3))
    assert found.spread is not None
    assert found.spread.kind == "noise"
    np.testing.assert_allclose(found.volume.hu, 40 + HU_A_UNIT * 0.04, rtol=1e-5)  # of 0.03, 0.04 and 0.05
    np.testing.assert_allclose(found.spread.hu, HU_A_UNIT * 0.01, rtol=1e-4)
    assert found.translation.steps == 2
    alone = translator.translate(scan, phase="arterial", seed=3)
    assert alone.spread is None
    np.testing.assert_allclose(alone.volume.hu, 40 + HU_A_UNIT * 0.01, rtol=1e-5)


def test_what_keeps_its_hu_has_no_spread(package: ModelPackage, scan: Volume) -> None:
    hu = scan.hu.copy()
    hu[:, 4:8] = -1000.0
    found = _translator(package, _Seeded()).translate(scan.with_hu(hu), phase="arterial", sampling=Sampling(samples=2))
    assert found.spread is not None
    assert np.abs(found.spread.hu[:, 4:8]).max() == 0
    assert found.spread.hu[:, 12:].min() > 1


def test_the_same_seed_gives_the_same_answer(package: ModelPackage, scan: Volume) -> None:
    translator = _translator(package, _Noisy())
    one, again, other = (
        translator.translate(scan, phase="venous", seed=seed, sampling=Sampling(samples=2)) for seed in (4, 4, 6)
    )
    assert one.spread is not None
    assert again.spread is not None
    assert np.array_equal(one.volume.hu, again.volume.hu)
    assert np.array_equal(one.spread.hu, again.spread.hu)
    assert not np.array_equal(one.volume.hu, other.volume.hu)


@pytest.mark.parametrize("tile", [None, (8, 32, 32)])
def test_draws_do_not_cancel_out_where_blended_tiles_overlap(tile: Any) -> None:
    source = torch.zeros(1, 1, 8, 32, 96)
    answer = _Noisy().answer(source, ARTERIAL, Sampling(samples=16), how=How(tile=tile))
    along = answer[0, 1].mean(dim=(0, 1))
    assert along.shape == (96,)
    # Mean of the standard deviation of 16 numbers of unit variance: 0.983.
    assert float((along - 0.983).abs().max()) < 0.06


def test_tiles_of_a_system_that_tiles_exactly_have_the_whole_volumes_mean_and_spread() -> None:
    torch.manual_seed(0)
    network = {"autoencoder": {"kind": "plain", "channels": (4, 4), "blocks": (1, 1), "latent": 2},
               "diffusion": {"channels": (4, 4)}}  # fmt: skip
    system = build_system("s2ldm", network).eval()
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        source = torch.rand(1, 1, 8, 32, 64) - 0.5
        sampling = Sampling(samples=2)
        whole, tiles = (
            system.answer(source, ARTERIAL, sampling, seed=1, how=How(tile=tile)) for tile in (None, (8, 32, 32))
        )
        alone = torch.stack(
            [
                system.predict_change(source, ARTERIAL, How(steps=2, generator=torch.Generator().manual_seed(seed)))
                for seed in (1, 2)
            ]
        )
    assert torch.allclose(whole, tiles, atol=1e-4)
    assert torch.allclose(whole[:, :1], alone.mean(0), atol=1e-5)
    assert torch.allclose(whole[:, 1:], alone.std(0), atol=1e-5)
    assert float(whole[:, 1].mean()) > 1e-3


def test_a_system_with_dropout_draws_by_it(package: ModelPackage, scan: Volume) -> None:
    torch.manual_seed(0)
    system = build_system("pix2pix", {"generator": {"channels": (4, 4, 4)}, "dropout": 0.5})
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    translator = _translator(package, system)
    rng = np.random.default_rng(0)
    textured = scan.with_hu(rng.normal(40, 20, scan.shape).astype(np.float32))
    found = translator.translate(textured, phase="arterial", sampling=Sampling(samples=2, kind="dropout"))
    assert found.spread is not None
    assert found.spread.kind == "dropout"
    assert found.spread.hu.max() > 0
    with pytest.raises(TranslationError, match="has no noise to draw samples from") as caught:
        translator.translate(textured, phase="arterial", sampling=Sampling(samples=2, kind="noise"))
    assert caught.value.remedy == "Ask for dropout."


@pytest.mark.parametrize(
    ("system", "sampling", "code"),
    [
        (_Seeded, Sampling(samples=2, kind="dropout"), "cannot_sample"),
        (_Seeded, Sampling(samples=2, steps=1), "one_step"),
        (_Seeded, Sampling(samples=2, steps=1001), "bad_steps"),
        (_Seeded, Sampling(samples=0), "bad_samples"),
        (_Seeded, Sampling(kind="ensemble"), "ensemble_of_one"),
        (None, Sampling(samples=2), "cannot_sample"),
    ],
)
def test_what_a_model_cannot_draw_is_refused(
    package: ModelPackage, scan: Volume, system: Any, sampling: Sampling, code: str
) -> None:
    model = Translator.load(package.path, device="cpu") if system is None else _translator(package, system())
    with pytest.raises(TranslationError) as caught:
        model.translate(scan, phase="arterial", sampling=sampling)
    assert caught.value.code == code


def test_an_ensemble_is_the_mean_of_its_packages_and_their_spread(package: ModelPackage, scan: Volume) -> None:
    class Constant(_Toy):
        def change(self, source: Any, condition: Any, how: How) -> Any:
            return torch.full_like(source, 0.05)

    ensemble = Ensemble([_translator(package, _Seeded()), _translator(package, Constant())])
    found = ensemble.translate(scan, phase="venous")
    assert found.spread is not None
    assert found.spread.kind == "ensemble"
    np.testing.assert_allclose(found.volume.hu, 40 + HU_A_UNIT * 0.03, rtol=1e-5)  # of 0.01 and 0.05
    np.testing.assert_allclose(found.spread.hu, HU_A_UNIT * 0.04 / np.sqrt(2), rtol=1e-4)
    assert found.translation.model_name == "tiny + tiny"
    assert found.translation.weights_sha256 != package.metadata.weights_sha256
    with pytest.raises(TranslationError, match="one answer of each package"):
        ensemble.translate(scan, phase="venous", sampling=Sampling(samples=3))


def test_what_is_no_ensemble_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    from s2ldm_core.package import save_package

    one = _translator(package, _Seeded())
    with pytest.raises(TranslationError) as caught:
        Ensemble([one])
    assert caught.value.code == "ensemble_of_one"
    network = {"phases": ("delayed",), "channels": (4, 4), "blocks": (1, 1), "core_channels": (4, 4), "latent": 2}
    metadata = {"name": "late", "version": "1", "window_hu": (-200.0, 500.0), "spacing_mm": (3.0, 1.5, 1.5),
                "min_slices": 2, "intended_use": "tests", "training_data": {}, "metrics": {}}  # fmt: skip
    late = save_package(tmp_path / "late", system=build_system("unet", network), metadata=metadata)
    with pytest.raises(TranslationError) as caught:
        Ensemble([one, Translator.load(late.path, device="cpu")])
    assert caught.value.code == "ensemble_differs"


def test_a_draw_of_the_systems_own_is_as_it_was_predicted() -> None:
    source = torch.zeros(1, 1, 2, 4, 4)
    assert torch.equal(_Seeded().answer(source, ARTERIAL), _Seeded().predict_change(source, ARTERIAL, AT_ONCE))
