"""The quantiser keeps its codes in use and its arithmetic right."""

from typing import Any

import pytest
import torch

from s2ldm_core.networks.quantiser import VectorQuantiser


def _batch(step: Any, spread: Any = 0.1) -> Any:
    g = torch.Generator().manual_seed(step)
    centres = torch.randn(64, 8, generator=torch.Generator().manual_seed(999))
    index = torch.randint(64, (4 * 4 * 8 * 8,), generator=g)
    flat = centres[index] + spread * torch.randn(len(index), 8, generator=g)
    return flat.reshape(4, 4, 8, 8, 8).movedim(-1, 1)


@pytest.mark.parametrize("cosine", [False, True])
def test_at_least_half_of_the_codes_are_used_after_200_steps(cosine: bool) -> None:
    torch.manual_seed(0)
    quantiser = VectorQuantiser(codes=512, channels=8, cosine=cosine).train()
    for step in range(200):
        quantiser(_batch(step))
    quantiser.eval()
    used = torch.cat([quantiser(_batch(1000 + i)).codes.flatten() for i in range(8)]).unique()
    assert len(used) >= 256


def test_codes_move_to_the_clusters_of_the_data() -> None:
    torch.manual_seed(0)
    quantiser = VectorQuantiser(codes=512, channels=8).train()
    for step in range(50):
        quantiser(_batch(step, spread=0.05))
    error = (quantiser.eval()(_batch(77, spread=0.05)).latent - _batch(77, spread=0.05)).pow(2).mean()
    assert error < 0.005


def test_each_vector_gets_its_nearest_code_whatever_the_chunk() -> None:
    quantiser = VectorQuantiser(codes=100, channels=4, chunk=7).eval()
    flat = torch.randn(50, 4)
    assert torch.equal(quantiser.nearest(flat), torch.cdist(flat, quantiser.codebook).argmin(1))


def test_gradient_passes_straight_through_and_the_loss_is_the_commitment() -> None:
    quantiser = VectorQuantiser(codes=16, channels=4, beta=0.25).eval()
    z = torch.randn(1, 4, 2, 2, 2, requires_grad=True)
    result = quantiser(z)
    result.latent.sum().backward(retain_graph=True)
    assert torch.equal(z.grad, torch.ones_like(z))
    assert result.loss.item() == pytest.approx(0.25 * (z - result.latent).pow(2).mean().item(), rel=1e-5)


def test_evaluation_leaves_the_codebook_alone() -> None:
    quantiser = VectorQuantiser(codes=16, channels=4)
    before = quantiser.codebook.clone()
    quantiser.eval()(torch.randn(1, 4, 4, 4, 4))
    quantiser.train()(torch.randn(1, 4, 4, 4, 4), update=False)
    assert torch.equal(quantiser.codebook, before)
