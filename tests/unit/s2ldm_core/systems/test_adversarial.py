"""Least squares and cross-entropy of both sides, by hand; phases have heads of their own; the stack is thicker than it is fine."""

import math

import pytest
import torch

from s2ldm_core.networks.discriminator import PatchDiscriminator, PhaseDiscriminator
from s2ldm_core.systems.adversarial import DiscriminatorConfig, deceives, told_apart

REAL, FAKE = torch.tensor([2.0, 0.0]).view(1, 1, 1, 1, 2), torch.tensor([-2.0, 1.0]).view(1, 1, 1, 1, 2)


def test_least_squares_have_their_known_values() -> None:
    assert told_apart("lsgan", real=REAL, fake=FAKE).item() == pytest.approx(0.5 * ((1 + 1) / 2 + (4 + 1) / 2))
    assert deceives("lsgan", FAKE).item() == pytest.approx((9 + 0) / 2)


def test_the_cross_entropy_has_its_known_values() -> None:
    def negative_log_sigmoid(x: float) -> float:
        return math.log(1 + math.exp(-x))

    real = (negative_log_sigmoid(2) + negative_log_sigmoid(0)) / 2
    fake = (negative_log_sigmoid(2) + negative_log_sigmoid(-1)) / 2
    assert told_apart("bce", real=REAL, fake=FAKE).item() == pytest.approx(0.5 * (real + fake))
    assert deceives("bce", FAKE).item() == pytest.approx((negative_log_sigmoid(-2) + negative_log_sigmoid(1)) / 2)


def test_a_real_patch_counts_by_what_was_measured_of_it() -> None:
    measured = torch.zeros(1, 1, 2, 2, 4, dtype=torch.bool)
    measured[:, :, 0, :, :2] = True  # half of the first patch, nothing of the second
    assert told_apart("lsgan", real=REAL, fake=FAKE, measured=measured).item() == pytest.approx(
        0.5 * (0.5 * 1 / 2 + 2.5)
    )


def test_an_image_is_judged_by_the_head_of_its_phase() -> None:
    torch.manual_seed(0)
    judge = PhaseDiscriminator(phases=2, in_channels=1, channels=4, layers=1, in_plane=0)
    x = torch.rand(1, 1, 8, 16, 16).expand(2, 1, 8, 16, 16)
    both = judge(x, torch.tensor([0, 1]))
    assert both.shape == (2, 1, 2, 6, 6)
    assert torch.equal(both[:1], judge.patches(x[:1])[:, :1])
    assert torch.equal(both[1:], judge.patches(x[:1])[:, 1:])


def test_the_default_takes_sixteen_slices_and_the_first_convolution_leaves_them_apart() -> None:
    judge = DiscriminatorConfig().plain()
    assert isinstance(judge, PatchDiscriminator)
    assert judge.features[0](torch.zeros(1, 1, 16, 32, 32)).shape[2:] == (16, 16, 16)
    assert judge(torch.zeros(1, 1, 16, 96, 96)).shape == (1, 1, 2, 10, 10)
