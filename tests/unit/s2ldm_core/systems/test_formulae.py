"""The formulae of S2LDM worked out a second time, by hand, from what its networks were given and gave."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from s2ldm_core.systems import Batch, Condition, Turn, build_system

SMALL = {"channels": (4, 6), "blocks": (1, 1), "latent": 3, "kind": "plain"}


def _system(**config: Any) -> Any:
    torch.manual_seed(0)
    autoencoder = {**SMALL, **config.pop("autoencoder", {})}
    diffusion = {"channels": (4, 6), **config.pop("diffusion", {})}
    system = build_system("s2ldm", {"autoencoder": autoencoder, "diffusion": diffusion, **config}).eval()
    for parameter in system.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return system


@pytest.fixture
def latents() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 4, 8, 8, generator=g), torch.randn(2, 3, 4, 8, 8, generator=g)


@pytest.fixture
def batch() -> Batch:
    g = torch.Generator().manual_seed(0)
    source = torch.rand(2, 1, 8, 32, 32, generator=g) * 1.6 - 0.8
    images = {"source": source, "change": 0.5 * torch.rand(source.shape, generator=g)}
    return Batch(images=images, condition=Condition(phase=torch.tensor([0, 1])))


class _Seen:
    """What the denoiser was given and gave."""

    def __init__(self, system: Any) -> None:
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []
        system.denoiser.register_forward_hook(self._note, with_kwargs=True)

    def _note(self, module: Any, args: Any, kwargs: Any, out: Tensor) -> None:
        self.calls.append((args[0].detach(), kwargs["t"].detach(), out.detach()))


def _drawn(shape: torch.Size, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """t, ε and who takes the deterministic step, in the order in which stage 2 draws them."""
    g = torch.Generator().manual_seed(seed)
    return torch.rand(shape[0], generator=g), torch.randn(shape, generator=g), torch.rand(shape[0], generator=g)


def _mask(z_n: Tensor, z_c: Tensor, progress: float, alpha: float) -> Tensor:
    """Eq. 3, from eq. 1's cosine over the channels."""
    c = (z_n * z_c).sum(1, keepdim=True) / (z_n.norm(dim=1, keepdim=True) * z_c.norm(dim=1, keepdim=True))
    return (alpha * progress + (1 + c) / 2).clamp(max=1.0)


@pytest.mark.parametrize("progress", [0.0, 0.2])
def test_stage_two_is_eq_4_with_the_source_masked_by_s(latents: tuple[Tensor, Tensor], progress: float) -> None:
    z_n, z_c = latents
    system = _system(diffusion={"deterministic_share": 0.0}, mask={"enabled": True, "alpha": 1.5})
    system.latent_mean.copy_(torch.tensor([0.3, -0.2, 0.5]))
    system.latent_std.copy_(torch.tensor([1.5, 0.7, 2.0]))
    seen = _Seen(system)
    turn = Turn(progress=progress, generator=torch.Generator().manual_seed(5))
    loss = system.diffusion_loss(z_n, z_c, torch.tensor([0, 1]), turn)
    ((given, t, out),) = seen.calls
    expected_t, noise, _ = _drawn(z_n.shape, 5)
    mean, std = (x[None, :, None, None, None] for x in (system.latent_mean, system.latent_std))
    masked = z_n * _mask(z_n * std + mean, z_c * std + mean, progress, 1.5)
    assert not torch.allclose(masked, z_n, atol=1e-2)
    torch.testing.assert_close(t, expected_t)
    when = expected_t[:, None, None, None, None]
    torch.testing.assert_close(given, torch.cat([(1 - when) * z_c + when * noise, masked], dim=1), rtol=1e-4, atol=1e-5)
    velocity = out - masked  # relative to z_n, which stands in for z_c: v = ε − z_c
    assert loss.item() == pytest.approx(F.mse_loss(velocity, noise - z_c).item(), rel=1e-4)


def test_without_the_mask_the_source_is_given_as_it_is(latents: tuple[Tensor, Tensor]) -> None:
    system = _system(diffusion={"deterministic_share": 0.0}, mask={"enabled": False})
    seen = _Seen(system)
    system.diffusion_loss(
        *latents, torch.tensor([0, 1]), Turn(progress=0.0, generator=torch.Generator().manual_seed(5))
    )
    torch.testing.assert_close(seen.calls[0][0][:, 3:], latents[0])


def test_the_deterministic_share_sees_no_noise_at_t_1(latents: tuple[Tensor, Tensor]) -> None:
    z_n, z_c = latents
    system = _system(diffusion={"deterministic_share": 1.0}, mask={"enabled": False})
    seen = _Seen(system)
    loss = system.diffusion_loss(z_n, z_c, torch.tensor([0, 1]), Turn(0.5, torch.Generator().manual_seed(5)))
    ((given, t, out),) = seen.calls
    assert t.tolist() == [1.0, 1.0]
    torch.testing.assert_close(given, torch.cat([torch.zeros_like(z_c), z_n], dim=1))
    assert loss.item() == pytest.approx(F.mse_loss(out - z_n, -z_c).item(), rel=1e-4)


def test_the_literal_reading_noises_the_source_and_predicts_no_contrast(latents: tuple[Tensor, Tensor]) -> None:
    z_n, z_c = latents
    system = _system(diffusion={"mode": "literal"}, mask={"enabled": False})
    seen = _Seen(system)
    loss = system.diffusion_loss(z_n, z_c, torch.tensor([0, 1]), Turn(0.5, torch.Generator().manual_seed(5)))
    ((given, _, out),) = seen.calls
    t, noise, _ = _drawn(z_n.shape, 5)
    when = t[:, None, None, None, None]
    torch.testing.assert_close(given, (1 - when) * z_n + when * noise, rtol=1e-4, atol=1e-5)
    assert loss.item() == pytest.approx(F.mse_loss(out, noise - z_n).item(), rel=1e-4)


def test_an_x0_prediction_is_relative_to_the_source(latents: tuple[Tensor, Tensor]) -> None:
    z_n, z_c = latents
    system = _system(diffusion={"target": "x0", "deterministic_share": 0.0}, mask={"enabled": False})
    seen = _Seen(system)
    loss = system.diffusion_loss(z_n, z_c, torch.tensor([0, 1]), Turn(0.5, torch.Generator().manual_seed(5)))
    assert loss.item() == pytest.approx(F.mse_loss(z_n + seen.calls[0][2], z_c).item(), rel=1e-4)


def test_one_step_of_sampling_is_minus_the_velocity_at_no_noise() -> None:
    system = _system()
    system.latent_mean.copy_(torch.tensor([0.3, -0.2, 0.5]))
    system.latent_std.copy_(torch.tensor([1.5, 0.7, 2.0]))
    source = torch.rand(1, 1, 8, 32, 32, generator=torch.Generator().manual_seed(2)) - 0.5
    seen = _Seen(system)
    with torch.no_grad():
        change = system.predict_change(source, Condition(phase=torch.tensor([0])))
        z_n, _, features = system.encode(source)
        raw, _, _ = system.encode(source, normalise=False)
        z_c = z_n - seen.calls[0][2]  # 0 − v, v relative to z_n
        torch.testing.assert_close(
            (raw - torch.tensor([0.3, -0.2, 0.5]).view(1, 3, 1, 1, 1)).div(
                torch.tensor([1.5, 0.7, 2.0]).view(1, 3, 1, 1, 1)
            ),
            z_n,
            rtol=1e-4,
            atol=1e-5,
        )
        decoded = system.decoder(
            z_c * system.latent_std.view(1, 3, 1, 1, 1) + system.latent_mean.view(1, 3, 1, 1, 1), features
        )
    torch.testing.assert_close(seen.calls[0][0][:, :3], torch.zeros_like(z_n))
    torch.testing.assert_close(change, decoded, rtol=1e-4, atol=1e-5)


def test_stage_one_is_eq_2_of_target_and_source(batch: Batch) -> None:
    weights = {"rec": 2.0, "sim": 0.5, "decode_source": 0.7}
    similarity = {"axis": "channel", "gamma": 1.0, "l2_weight": 0.1}
    system = _system(frequency={"mode": "none"}, loss=weights, similarity=similarity)
    loss, parts = system.loss("autoencoder", "autoencoder", batch, Turn(0.1))
    with torch.no_grad():
        e_c, _, _ = system.encode(batch.target, normalise=False)
        e_n, _, features = system.encode(batch.source, normalise=False)
        c = (e_n * e_c).sum(1) / (e_n.norm(dim=1) * e_c.norm(dim=1))
        u = ((1 + c) / 2).clamp(1e-4, 1.0)
        wanted = {
            "similarity": (-(1 - u) * u.log()).mean(),
            "similarity_l2": (e_n - e_c).square().mean(),
            "rec": (batch.source + system.decoder(e_c, features) - batch.target).abs().mean(),
            "decode_source": (batch.source + system.decoder(e_n, features) - batch.target).abs().mean(),
        }
    for name, value in wanted.items():
        assert parts[name].item() == pytest.approx(value.item(), rel=1e-4), name
    total = (
        2.0 * wanted["rec"]
        + 0.5 * (wanted["similarity"] + 0.1 * wanted["similarity_l2"])
        + 0.7 * wanted["decode_source"]
    )
    assert loss.item() == pytest.approx(total.item(), rel=1e-4)


def test_the_adversary_is_paid_for_telling_apart_and_the_model_for_deceiving_it() -> None:
    g = torch.Generator().manual_seed(0)
    images = {
        "source": torch.rand(1, 1, 16, 32, 32, generator=g) - 0.5,
        "change": torch.rand(1, 1, 16, 32, 32, generator=g),
    }
    batch = Batch(images=images, condition=Condition(phase=torch.tensor([1])))
    system = _system(loss={"adv": 0.3, "adv_start": 0.0, "finetune_flow": 0.0}, frequency={"mode": "none"})
    with_adversary, parts = system.loss(
        "finetune", "finetune", batch, turn := Turn(0.5, torch.Generator().manual_seed(0))
    )
    image = turn.kept["image"]
    with torch.no_grad():
        fake, real = system.discriminator(image), system.discriminator(batch.target)
    assert parts["adversarial"].item() == pytest.approx(-fake.mean().item(), rel=1e-4)
    assert with_adversary.item() == pytest.approx((parts["rec"] - 0.3 * fake.mean()).item(), rel=1e-4)
    judged, _ = system.loss("finetune", "discriminator", batch, turn)
    wanted = 0.5 * ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean())
    assert judged.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_fine_tuning_adds_eq_4_of_the_frozen_source_with_s_all_ones(batch: Batch) -> None:
    config = {"finetune_flow": 0.5, "finetune_flow_share": 1.0}
    system = _system(loss=config, frequency={"mode": "none"}, diffusion={"deterministic_share": 0.0})
    seen = _Seen(system)
    loss, parts = system.loss("finetune", "finetune", batch, Turn(0.0, torch.Generator().manual_seed(3)))
    deterministic, noised = seen.calls
    with torch.no_grad():
        z_n, _, _ = system.encode(batch.source)
        z_c, _, _ = system.encode(batch.target)
    torch.testing.assert_close(deterministic[0], torch.cat([torch.zeros_like(z_n), z_n], dim=1))
    torch.testing.assert_close(noised[0][:, 3:], z_n)  # S at progress 1
    when = noised[1][:, None, None, None, None]
    noise = (noised[0][:, :3] - (1 - when) * z_c) / when
    assert noise.std().item() == pytest.approx(1.0, abs=0.1)
    assert parts["diffusion"].item() == pytest.approx(F.mse_loss(noised[2] - z_n, noise - z_c).item(), rel=1e-3)
    assert loss.item() == pytest.approx((parts["rec"] + 0.5 * parts["diffusion"]).item(), rel=1e-4)
