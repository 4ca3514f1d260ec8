"""CMDM in the latents of its prior's autoencoder: shortcut, training, package, and what it reaches on two pairs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from s2ldm_core.package import ModelPackage, save_package
from s2ldm_core.sampling import Sampling
from s2ldm_core.systems import Batch, How, Turn, build_system
from tests.diffusion_systems import LATENT_CMDM
from tests.tiny_systems import psnr_of_change, taught, two_pairs

AUTOENCODER = {"kind": "plain", "channels": (8, 32), "blocks": (1, 1), "latent": 8,
               "source_conditioned": False, "difference": True}  # fmt: skip
PRIOR = {
    "system": "s2ldm",
    "network": {
        "autoencoder": AUTOENCODER,
        "diffusion": {"channels": (16,)},
        "stages": ("autoencoder", "diffusion"),
        "loss": {"sim": 0.0, "rec_l2": 5.0, "enhancement": 10.0},
    },
}
NETWORK = {"prior": PRIOR, "space": "latent", "channels": (48,), "steps": 4, "paths": 3, "t_start": 800}


def _seeded(steps: int | None = None, seed: int = 0, tile: Any = None) -> How:
    return How(steps=steps, generator=torch.Generator().manual_seed(seed), tile=tile)


@pytest.fixture(scope="module")
def learnt() -> Any:
    """Its prior's own denoiser has learnt nothing, and answers with no change at all."""
    torch.manual_seed(0)
    system, batch = build_system("cmdm", NETWORK), two_pairs()
    return taught(system, batch, steps={"prior-autoencoder": 200, "diffusion": 90}), batch


def test_it_learns_two_pairs_by_heart_from_a_prior_that_knows_nothing(learnt: Any) -> None:
    system, batch = learnt
    assert psnr_of_change(system, batch, How(steps=1)) < 21.0
    assert psnr_of_change(system, batch, _seeded()) >= 35.0


def test_paths_spread_and_their_mean_and_spread_are_an_answer(learnt: Any) -> None:
    system, batch = learnt
    with torch.no_grad():
        answer = system.answer(batch.source, batch.condition, Sampling(samples=3, steps=4), seed=5)
        paths = torch.stack(
            [system.predict_change(batch.source, batch.condition, _seeded(4, seed)) for seed in (5, 6, 7)]
        )
    assert torch.allclose(answer, torch.cat([paths.mean(0), paths.std(0)], dim=1), atol=1e-5)
    assert float(answer[:, 1].max()) > 0


def test_a_package_of_it_answers_bit_for_bit_alike(learnt: Any, tmp_path: Path) -> None:
    system, batch = learnt
    metadata = {"name": "latent", "version": "1", "window_hu": (-200.0, 500.0), "spacing_mm": (3.0, 1.5, 1.5),
                "min_slices": 2, "intended_use": "tests", "training_data": {}, "metrics": {}}  # fmt: skip
    save_package(tmp_path / "latent", system=system, metadata=metadata)
    again = ModelPackage.load(tmp_path / "latent").build(device=torch.device("cpu"))
    with torch.no_grad():
        assert torch.equal(
            again.predict_change(batch.source, batch.condition, _seeded()),
            system.predict_change(batch.source, batch.condition, _seeded()),
        )


def test_tiles_have_the_numbers_of_the_whole(learnt: Any) -> None:
    system, _ = learnt
    batch = two_pairs((8, 32, 48))
    with torch.no_grad():
        whole, tiles = (
            system.predict_change(batch.source, batch.condition, _seeded(2, tile=tile)) for tile in (None, (4, 16, 16))
        )
    assert torch.allclose(whole, tiles, atol=1e-4)


def test_the_prior_s_latent_is_noised_as_far_as_t_start_and_the_mean_of_paths_is_cascaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    system, batch = build_system("cmdm", {**NETWORK, "t_start": 200}).eval(), two_pairs((8, 32, 32))
    seen: list[tuple[torch.Tensor, int]] = []

    def through(core: Any, function: Any, inputs: Any, *, how: Any, step: str) -> torch.Tensor:
        """In the place of the network: notes what it is shown, and when; x_0 is 2, whatever the source's latent is."""
        x, z_n = inputs
        time = function.__closure__[[*function.__code__.co_freevars].index("t")].cell_contents
        seen.append((x, round(float(time[0]) * 1000)))
        return 2.0 - z_n

    monkeypatch.setattr(system.prior, "translated", lambda z_n, *_: torch.full_like(z_n, 0.1))
    monkeypatch.setattr("s2ldm_core.systems.shortcut_space.through_core", through)
    with torch.no_grad():
        found = system.predict_change(batch.source, batch.condition, _seeded())
        z_n, features = system.prior.encoded(batch.source, How())
        wanted = system.prior.change_of(torch.full_like(z_n, 2.0), z_n, features, batch.source, How())
    assert torch.allclose(found, wanted, atol=1e-5)
    assert [k for _, k in seen] == 6 * [200, 150, 100, 49]
    first, second = seen[0][0], seen[12][0]  # the first steps of both cascades
    a = 0.8976**0.5  # √ᾱ_200 of the cosine schedule
    assert float(first.mean()) == pytest.approx(a * 0.1, abs=0.03)
    assert float(second.mean()) == pytest.approx(a * (0.5 * 2.0 + 0.5 * 0.1), abs=0.03)
    assert float(first.std()) == pytest.approx((1 - a**2) ** 0.5, abs=0.03)


@pytest.mark.parametrize("target", ["x0", "epsilon"])
def test_the_loss_is_of_latents_noised_to_a_step_of_the_shortcut(target: str) -> None:
    """An untrained denoiser answers with the source's latent as x_0, and with no noise."""
    torch.manual_seed(0)
    system, batch = build_system("cmdm", {**NETWORK, "target": target}), two_pairs()
    z_n, z_c = system.prior.latents(batch)
    loss, _ = system.loss("diffusion", "denoiser", batch, Turn(0.0, torch.Generator().manual_seed(3)))
    generator = torch.Generator().manual_seed(3)
    torch.randint(801, (2,), generator=generator)
    noise = torch.randn(z_c.shape, generator=generator)
    wanted = noise.square().mean() if target == "epsilon" else (z_n - z_c).square().mean()
    assert float(loss.detach()) == pytest.approx(float(wanted), rel=1e-4)
    kept = Batch(images={}, condition=batch.condition, cached={"source": z_n, "target": z_c})
    cached, _ = system.loss("diffusion", "denoiser", kept, Turn(0.0, torch.Generator().manual_seed(3)))
    assert torch.equal(cached, loss)


def test_it_needs_a_prior_that_has_latents() -> None:
    with pytest.raises(ValidationError, match="needs a prior that has latents, such as s2ldm or aldm"):
        build_system("cmdm", {"space": "latent"})
    assert build_system("cmdm", LATENT_CMDM).stage("diffusion").cached == "latent"
