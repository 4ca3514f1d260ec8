"""Eq. 4's readings: what is noised, what is predicted, and samplers that are exact where they must be."""

from typing import Any

import pytest
import torch

from s2ldm_core.diffusion import Process

SHAPE = (2, 3, 2, 4, 4)


@pytest.fixture
def latents() -> Any:
    g = torch.Generator().manual_seed(0)
    return {name: torch.randn(SHAPE, generator=g) for name in ("z_n", "z_c", "noise")}


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_flow_sampler_is_exact_on_a_linear_field(latents: Any, steps: int) -> None:
    # The field whose straight paths all end in z_c: v(x, t) = (x - z_c) / t.
    z_c = latents["z_c"]
    out = Process().sample(
        lambda x, t: (x - z_c) / t[:, None, None, None, None], z_n=latents["z_n"], noise=latents["noise"], steps=steps
    )
    assert torch.allclose(out, z_c, atol=1e-5)


def test_flow_sampler_takes_euler_steps(latents: Any) -> None:
    seen = []

    def field(x: Any, t: Any) -> Any:
        seen.append(t[0].item())
        return torch.ones_like(x)

    out = Process().sample(field, z_n=latents["z_n"], noise=latents["noise"], steps=4)
    assert seen == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert torch.allclose(out, latents["noise"] - 1.0, atol=1e-6)


@pytest.mark.parametrize("schedule", ["flow", "ddpm"])
@pytest.mark.parametrize("target", ["velocity", "epsilon", "x0"])
def test_a_perfect_prediction_gives_back_both_endpoints(latents: Any, schedule: str, target: str) -> None:
    process = Process(schedule=schedule, target=target)
    t = torch.tensor([0.3, 0.8])
    x_0, x_1 = process.endpoints(**latents)
    x_t = process.interpolate(x_0, x_1, t)
    got_0, got_1 = process.estimates(process.regression_target(x_0, x_1, t), x_t, t)
    assert torch.allclose(got_0, x_0, atol=1e-3)
    assert torch.allclose(got_1, x_1, atol=1e-3)


def test_velocity_of_the_flow_is_noise_minus_data(latents: Any) -> None:
    process = Process()
    x_0, x_1 = process.endpoints(**latents)
    assert torch.equal(process.regression_target(x_0, x_1, torch.tensor([0.1, 0.9])), latents["noise"] - latents["z_c"])


def test_ddpm_schedule_ends_where_the_paper_preset_says() -> None:
    a, b = Process(schedule="ddpm", target="epsilon").coefficients(torch.tensor([0.0, 1.0]))
    assert a[0].item() == pytest.approx((1 - 0.0015) ** 0.5, abs=1e-6)
    assert (a**2 + b**2).flatten().tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert a[1].item() < 0.1


def test_bridge_runs_from_source_to_target(latents: Any) -> None:
    process = Process(mode="bridge", bridge_sigma=0.1)
    x_0, x_1 = process.endpoints(**latents)
    assert torch.equal(x_0, latents["z_c"])
    assert torch.allclose(x_1, latents["z_n"] + 0.1 * latents["noise"])
    out = process.sample(lambda x, t: x_1 - x_0, z_n=latents["z_n"], noise=latents["noise"], steps=3)
    assert torch.allclose(out, latents["z_c"], atol=1e-5)


def test_literal_reading_never_sees_the_contrast_enhanced_latent(latents: Any) -> None:
    process = Process(mode="literal", schedule="ddpm", target="epsilon", t_start=0.5)
    x_0, _ = process.endpoints(**latents)
    assert torch.equal(x_0, latents["z_n"])
    assert not process.conditioned
    assert process.start(z_n=latents["z_n"], noise=latents["noise"])[1] == 0.5


def test_a_bridge_with_an_epsilon_target_is_refused() -> None:
    with pytest.raises(ValueError, match="bridge"):
        Process(mode="bridge", target="epsilon")
