"""Known answers of eq. 1 and eq. 3."""

import math

import pytest
import torch

from s2ldm_core.similarity import cosine, similarity_loss, similarity_mask


@pytest.mark.parametrize(
    ("c", "value", "gradient"),
    [(1.0, 0.0, 0.0), (0.9, 0.0026, -0.052), (0.5, 0.072, -0.31), (0.0, 0.347, -0.85), (-0.5, 1.04, -2.19)],
)
def test_eq1_has_the_published_value_and_gradient(c: float, value: float, gradient: float) -> None:
    x = torch.tensor([c], requires_grad=True)
    loss = similarity_loss(x)
    loss.backward()
    assert loss.item() == pytest.approx(value, abs=0.006)
    assert x.grad.item() == pytest.approx(gradient, abs=0.01)


def test_eq1_is_finite_where_the_formula_diverges() -> None:
    x = torch.tensor([-1.0], requires_grad=True)
    loss = similarity_loss(x)
    loss.backward()
    assert loss.item() == pytest.approx(-(1 - 1e-4) * math.log(1e-4))
    assert torch.isfinite(x.grad).all()


def test_eq1_gamma_two_follows_the_formula() -> None:
    u = (1 + 0.2) / 2
    assert similarity_loss(torch.tensor([0.2]), gamma=2.0).item() == pytest.approx(-((1 - u) ** 2) * math.log(u))


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.6), (0.1, 0.8), (0.2, 1.0), (0.9, 1.0)])
def test_eq3_adds_progress_and_saturates_at_one(progress: float, expected: float) -> None:
    assert similarity_mask(torch.tensor([0.2]), progress=progress, alpha=2.0).item() == pytest.approx(expected)


def test_mask_is_all_ones_from_half_way_whatever_the_similarity() -> None:
    assert torch.equal(similarity_mask(torch.tensor([-1.0, 0.0, 1.0]), progress=0.5), torch.ones(3))


def test_channel_cosine_localises() -> None:
    a = torch.zeros(1, 2, 1, 1, 3)
    b = torch.zeros_like(a)
    a[0, :, 0, 0] = torch.tensor([[1.0, 1.0, 3.0], [0.0, 0.0, 4.0]])
    b[0, :, 0, 0] = torch.tensor([[2.0, 0.0, -3.0], [0.0, 5.0, -4.0]])
    assert cosine(a, b)[0, 0, 0, 0].tolist() == pytest.approx([1.0, 0.0, -1.0], abs=1e-5)


def test_other_axes_have_their_shapes_and_values() -> None:
    a, b = torch.randn(2, 3, 4, 5, 6), torch.randn(2, 3, 4, 5, 6)
    spatial = cosine(a, b, axis="spatial")
    assert spatial.shape == (2, 3, 1, 1, 1)
    expected = torch.nn.functional.cosine_similarity(a[1, 2].flatten(), b[1, 2].flatten(), dim=0)
    assert spatial[1, 2].item() == pytest.approx(expected.item(), abs=1e-5)
    assert torch.allclose(cosine(a, b, axis="element").abs(), torch.ones_like(a), atol=1e-2)
    window = cosine(a, a, axis="window")
    assert window.shape == a.shape
    assert torch.allclose(window, torch.ones_like(a), atol=1e-4)
