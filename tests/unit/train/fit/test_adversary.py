"""The discriminator: its loss, that it learns, that it sees every micro-batch."""

import pytest
import torch

from train.adversary import PatchAdversary, hinge


def test_hinge_has_its_known_values() -> None:
    assert hinge(real=torch.tensor([2.0, 0.0]), fake=torch.tensor([-2.0, 1.0])).item() == pytest.approx(0.75)


def test_it_learns_to_tell_fake_from_real() -> None:
    torch.manual_seed(0)
    adversary = PatchAdversary(lr=2e-3, channels=4, layers=1)
    real, fake = torch.randn(1, 1, 16, 16, 16), torch.zeros(1, 1, 16, 16, 16)
    losses = []
    for _ in range(30):
        adversary(fake, real)
        losses.append(float(adversary.step()))
    assert losses[-1] < 0.5 * losses[0]


def test_there_is_no_step_before_anything_was_seen() -> None:
    assert PatchAdversary(lr=1e-3, channels=4, layers=1).step() is None


def test_a_step_after_two_micro_batches_is_the_step_of_both_together() -> None:
    torch.manual_seed(0)
    one, two = (PatchAdversary(lr=1e-2, channels=4, layers=1) for _ in range(2))
    two.network.load_state_dict(one.network.state_dict())
    fake, real = torch.randn(2, 2, 1, 16, 16, 16)
    one(fake, real)
    for item in (slice(0, 1), slice(1, 2)):
        two(fake[item], real[item])
    assert float(two.step()) == pytest.approx(float(one.step()), rel=1e-5)
    for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
