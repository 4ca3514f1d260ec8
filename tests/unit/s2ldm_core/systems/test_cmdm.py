"""CMDM: shortcut, paths and cascades on a prior of the registry, and what it reaches on two pairs."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from s2ldm_core.systems import Condition, How, Turn, build_system
from s2ldm_core.systems.cmdm import CMDM, mixed, permuted
from tests.tiny_systems import psnr_of_change, taught, two_pairs

PRIOR = {
    "system": "unet",
    "network": {"channels": (8, 32), "blocks": (1, 1), "core_channels": (48,), "latent": 8},
}
NETWORK = {"prior": PRIOR, "channels": (48,), "steps": 4, "paths": 3, "cascades": 2, "t_start": 800}
"""A long shortcut: the prior has hardly been trained."""


def _system(**changes: Any) -> Any:
    torch.manual_seed(0)
    return build_system("cmdm", {**NETWORK, **changes})


def _seeded(steps: int | None = None, seed: int = 0) -> How:
    return How(steps=steps, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def learnt() -> Any:
    batch = two_pairs()
    return taught(_system(), batch, steps={"prior-regression": 20, "diffusion": 150}), batch


def test_it_learns_two_pairs_by_heart_whatever_the_prior(learnt: Any) -> None:
    system, batch = learnt
    assert psnr_of_change(system, batch, _seeded()) >= 35.0
    bad = 0.5 * batch.change
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system.prior, "predict_change", lambda *_: bad)
        mended = system.predict_change(batch.source, batch.condition, _seeded()).detach()
    assert float((mended - batch.change).square().mean()) < 0.5 * float((bad - batch.change).square().mean())


def test_in_one_step_it_is_its_prior_and_in_more_one_path_that_spreads(learnt: Any) -> None:
    system, batch = learnt
    prior = system.prior.predict_change(batch.source, batch.condition)
    assert torch.equal(system.predict_change(batch.source, batch.condition, _seeded(1)), prior)
    paths = [system.predict_change(batch.source, batch.condition, _seeded(4, seed)) for seed in (0, 0, 1)]
    assert torch.equal(paths[0], paths[1])
    assert float((paths[0] - paths[2]).detach().std()) > 0


def test_a_shortcut_is_the_prior_noised_as_far_as_t_start_and_the_mean_of_paths_is_cascaded() -> None:
    system = _system(prior={"system": "unet", "network": {"core_channels": (4,), "channels": (4, 4)}}, t_start=200)
    batch = two_pairs()
    seen: list[tuple[torch.Tensor, int]] = []

    prior = torch.full_like(batch.source, 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system.prior, "predict_change", lambda *_: prior)
        patch.setattr(system.denoiser, "unfolded", lambda x: torch.full_like(prior, 2.0))
        patch.setattr("s2ldm_core.systems.folded_grid.through_core", _core(seen))
        found = system.predict_change(batch.source, batch.condition, _seeded())
    assert torch.allclose(found, torch.full_like(found, 2.0 * 0.25))
    assert [k for _, k in seen] == 6 * [200, 150, 100, 49]
    first, second = seen[0][0], seen[12][0]  # the first steps of both cascades
    a = float(system.schedule.coefficients(torch.tensor([200]), torch.zeros(1, 1))[0])
    # ᾱ_200 of the cosine schedule: cos² of (201/1000 + 0.008) / 1.008 · π/2 over cos² of 0.008 / 1.008 · π/2, 0.8976.
    assert a == pytest.approx(0.8976**0.5, abs=1e-3)
    assert float(first.mean()) == pytest.approx(a * 0.1 / 0.25, abs=0.02)
    assert float(second.mean()) == pytest.approx(a * (0.5 * 2.0 + 0.5 * 0.1 / 0.25), abs=0.02)
    assert float(first.std()) == pytest.approx((1 - a**2) ** 0.5, abs=0.02)


def _core(seen: list[tuple[torch.Tensor, int]]) -> Any:
    """In the place of the network: notes what it is shown, and when."""

    def through(core: Any, function: Any, inputs: Any, *, how: Any, step: str) -> torch.Tensor:
        (folded,) = inputs
        time = function.__closure__[[*function.__code__.co_freevars].index("t")].cell_contents
        # The source's 32 voxels a channel come first, then those of x_k.
        seen.append((folded[:, 32:64], round(float(time[0]) * 1000)))
        return folded

    return through


def test_residual_averaging_gives_the_first_prior_less_and_less() -> None:
    mean, prior = torch.tensor([1.0]), torch.tensor([0.0])
    shares = [1 - float(mixed(mean, prior, cascade=k)) for k in (1, 2, 3, 4, 5, 6)]
    assert shares == pytest.approx([0.5, 0.45, 0.4, 0.35, 0.3, 0.3])


def test_a_path_s_noise_is_the_same_voxels_in_another_order() -> None:
    noise = torch.randn(2, 1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    other = permuted(noise, torch.Generator().manual_seed(1))
    assert not torch.equal(noise, other)
    assert torch.equal(noise.flatten(1).sort(1).values, other.flatten(1).sort(1).values)


@pytest.mark.parametrize(("train_steps", "most"), [("shortcut", 200), ("all", 999)])
def test_only_steps_that_a_shortcut_visits_are_learnt(train_steps: str, most: int) -> None:
    system = _system(train_steps=train_steps, t_start=200, channels=(4,))
    seen: list[int] = []
    noised = system.schedule.noised

    def noting(x: torch.Tensor, noise: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        seen.extend(k.tolist())
        return noised(x, noise, k)

    system.schedule.noised = noting
    g = torch.Generator().manual_seed(0)
    for _ in range(60):
        system.loss("diffusion", "denoiser", two_pairs(), Turn(0.0, g))
    assert most * 0.9 < max(seen) <= most


def test_what_its_prior_only_trains_with_is_not_shipped() -> None:
    prior = {"system": "s2ldm", "network": {"autoencoder": {"channels": (4, 6), "blocks": (1, 1), "latent": 3},
             "diffusion": {"channels": (4, 6)}, "loss": {"adv": 0.1}}}  # fmt: skip
    system = _system(prior=prior)
    assert system.prior.discriminator is not None
    shipped = system.shipped()
    assert not any(key.startswith("prior.discriminator") for key in shipped)
    assert any(key.startswith("prior.encoder") for key in shipped)
    assert [stage.name for stage in system.stages] == [
        "prior-autoencoder",
        "prior-diffusion",
        "prior-finetune",
        "diffusion",
    ]
    assert [player.name for player in system.players("prior-autoencoder")] == ["autoencoder", "discriminator"]
    system.load_shipped({key: value + 1 if value.is_floating_point() else value for key, value in shipped.items()})
    system.strip()
    assert system.prior.discriminator is None
    source = two_pairs((8, 32, 32)).source[:1]
    assert system.predict_change(source, Condition(phase=torch.tensor([0])), How(steps=1)).shape == source.shape


def test_an_unknown_prior_is_named() -> None:
    with pytest.raises(ValidationError, match="no system called 'unett' in this version; did you mean unet"):
        build_system("cmdm", {"prior": {"system": "unett"}})
    assert isinstance(_system(), CMDM)
