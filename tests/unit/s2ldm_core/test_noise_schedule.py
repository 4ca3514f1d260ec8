"""Noise schedules and DDIM against values worked out by hand."""

import math

import pytest
import torch

from s2ldm_core.noise_schedule import NoiseSchedule


def _bar(schedule: NoiseSchedule, k: int) -> float:
    return float(schedule.coefficients(torch.tensor([k]), torch.zeros(1, 1))[0] ** 2)


def test_cosine_is_that_of_nichol_and_dhariwal() -> None:
    def f(step: int) -> float:
        return math.cos((step / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    schedule = NoiseSchedule("cosine")
    assert _bar(schedule, 0) == pytest.approx(f(1) / f(0), rel=1e-5)
    assert _bar(schedule, 499) == pytest.approx(f(500) / f(0), rel=1e-4)
    assert _bar(schedule, 999) == pytest.approx(f(999) / f(0) * 0.001, rel=1e-3)  # β is clipped at 0.999


def test_linear_schedules_begin_and_end_with_their_betas() -> None:
    assert _bar(NoiseSchedule("linear"), 0) == pytest.approx(1 - 1e-4, abs=1e-7)
    scaled = NoiseSchedule("scaled_linear")
    assert _bar(scaled, 0) == pytest.approx(1 - 0.0015, abs=1e-7)
    assert 1 - _bar(scaled, 999) / _bar(scaled, 998) == pytest.approx(0.0195, rel=1e-3)


def test_the_true_noise_and_the_true_image_both_lead_back_to_the_image() -> None:
    schedule, g = NoiseSchedule("cosine"), torch.Generator().manual_seed(0)
    x_0, noise = (torch.randn(2, 1, 3, 4, 5, generator=g) for _ in range(2))
    k = torch.tensor([100, 600])
    x = schedule.noised(x_0, noise, k)
    assert torch.allclose(schedule.estimates(noise, x, k, target="epsilon")[0], x_0, atol=1e-4)
    assert torch.allclose(schedule.estimates(x_0, x, k, target="x0")[1], noise, atol=1e-4)


def test_ddim_keeps_to_the_line_that_a_perfect_prediction_draws() -> None:
    schedule = NoiseSchedule("cosine")
    x_0, noise = torch.full((1, 1, 2), 0.3), torch.tensor([[[1.0, -2.0]]])
    seen = []

    def perfect(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        assert torch.allclose(x, schedule.noised(x_0, noise, k), atol=1e-5)
        seen.append(int(k))
        return x_0

    start = schedule.noised(x_0, noise, torch.tensor([199]))
    answer = schedule.ddim(perfect, start, target="x0", steps=4, start=199)
    assert torch.equal(answer, x_0)
    assert seen == [199, 149, 99, 49]
    with pytest.raises(ValueError, match="at least one"):
        schedule.ddim(perfect, start, target="x0", steps=0)


def test_eta_adds_the_variance_that_it_takes_from_the_direction() -> None:
    schedule, g = NoiseSchedule("linear"), torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, 200_000, generator=g)
    start = schedule.noised(torch.zeros_like(noise), noise, torch.tensor([999]))
    seen = []

    def nothing(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        seen.append((int(k), float(x.var()), x))
        return torch.zeros_like(x)

    schedule.ddim(nothing, start, target="x0", steps=2, eta=1.0, generator=g)
    k, variance, x = seen[1]
    assert variance == pytest.approx(1 - _bar(schedule, k), rel=0.02)
    assert abs(float(torch.corrcoef(torch.stack([x.flatten(), noise.flatten()]))[0, 1])) < 0.9
