"""Vicinal labels and guidance of CCDM against values worked out by hand."""

import pytest
import torch

from s2ldm_core.guidance import guided
from s2ldm_core.vicinity import rule_of_thumb, vicinal


def test_sigma_and_kappa_follow_the_paper_s_rule() -> None:
    labels = torch.tensor([0.0, 0.2, 0.2, 0.5, 1.0])
    # Mean 0.38, variance (0.1444 + 2·0.0324 + 0.0144 + 0.3844) / 5 = 0.1216; 5^(-1/5) = 0.72478; largest gap 0.5.
    assert rule_of_thumb(labels, phases=2, factor=-2.0) == pytest.approx((1.06 * 0.1216**0.5 * 0.72478, 1.0), rel=1e-5)


def test_few_discrete_labels_have_no_neighbours() -> None:
    sigma, kappa = rule_of_thumb(torch.tensor([0.1, 0.1, 0.6]), phases=2)
    assert (sigma, kappa) == (0.0, 0.0)
    labels = torch.tensor([0.1, 0.6])
    for mode in ("hard", "soft"):
        drawn, weight = vicinal(labels, mode=mode, sigma=0.1, kappa=kappa)
        assert torch.equal(drawn, labels)
        assert weight.tolist() == [1.0, 1.0]


def test_hard_labels_stay_within_kappa_and_are_a_cut_off_normal() -> None:
    g = torch.Generator().manual_seed(0)
    drawn, weight = vicinal(torch.zeros(20_000), mode="hard", sigma=0.1, kappa=0.1, generator=g)
    assert float(drawn.abs().max()) <= 0.1
    # Variance of the normal cut off at ±1σ: 1 − 2 φ(1) / (2 Φ(1) − 1) = 1 − 2·0.241971 / 0.682689 = 0.291124
    assert float(drawn.var()) == pytest.approx(0.291124 * 0.01, rel=0.03)
    assert bool((weight == 1).all())


def test_soft_labels_weigh_by_their_distance() -> None:
    g = torch.Generator().manual_seed(0)
    labels = torch.full((1000,), 0.5)
    drawn, weight = vicinal(labels, mode="soft", sigma=0.1, kappa=0.05, generator=g)
    assert float((drawn - labels).abs().max()) > 0.2
    assert torch.allclose(weight, torch.exp(-400 * (drawn - labels) ** 2))  # ν = 1 / 0.05² = 400
    plain, alike = vicinal(labels, mode="none", sigma=0.1, kappa=0.05)
    assert torch.equal(plain, labels)
    assert bool((alike == 1).all())


def test_guidance_keeps_the_orthogonal_part_alone() -> None:
    conditional, unconditional = torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, -2.0]])
    # d = (2, 2); along (3, 0) it is (2, 0), so (0, 2) is left: (3, 0) + (1.5 − 1)·(0, 2) = (3, 1).
    assert guided(conditional, unconditional, scale=1.5).tolist() == [[3.0, 1.0]]
    # Standard deviations 3/√2 and 2/√2: factor 1.5; the share 0.7 of it and 0.3 of 1 make 1.35.
    assert guided(conditional, unconditional, scale=1.5, rescale=0.7)[0].tolist() == pytest.approx([4.05, 1.35])
    assert torch.equal(guided(conditional, unconditional, scale=1.0), conditional)
