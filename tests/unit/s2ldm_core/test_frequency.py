"""x_F and the loss-side alternative."""

import pytest
import torch

from s2ldm_core.frequency import enhance, gain_at, gradient_loss


@pytest.mark.parametrize("mode", ["unsharp", "fft", "wavelet"])
def test_enhancement_keeps_flat_regions_and_steepens_edges(mode: str) -> None:
    x = torch.zeros(1, 1, 2, 32, 32)
    x[..., 17:] = 1.0
    y = enhance(x, mode=mode, gain=0.5)
    assert y[..., 8:10].abs().max() < 0.02
    assert (y[0, 0, 0, 16, 17] - y[0, 0, 0, 16, 16]) > 1.1


def test_wavelet_gain_scales_exactly_what_deviates_from_the_cell_mean() -> None:
    x = torch.tensor([[1.0, 3.0], [5.0, 7.0]])[None, None, None]
    assert enhance(x, mode="wavelet", gain=1.0)[0, 0, 0].tolist() == [[-2.0, 2.0], [6.0, 10.0]]


def test_gain_anneals_to_zero_over_the_last_part() -> None:
    assert [gain_at(p, gain=0.3) for p in (0.0, 0.7, 0.85, 1.0)] == pytest.approx([0.3, 0.3, 0.15, 0.0])


def test_gradient_loss_ignores_an_offset_and_sees_blur() -> None:
    x = torch.randn(1, 1, 4, 8, 8)
    assert gradient_loss(x + 5, x).item() == pytest.approx(0.0, abs=1e-6)
    assert gradient_loss(torch.zeros_like(x), x) > 0.1
