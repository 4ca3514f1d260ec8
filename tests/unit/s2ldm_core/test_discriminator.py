"""The patch discriminator: MONAI's numbers, a hinge with known values, gradients that are numbers in bf16."""

import pytest
import torch

from s2ldm_core.networks.discriminator import PatchDiscriminator, deceived, hinge


def test_hinge_has_its_known_values() -> None:
    assert hinge(real=torch.tensor([2.0, 0.0]), fake=torch.tensor([-2.0, 1.0])).item() == pytest.approx(0.75)


def test_the_generator_is_paid_for_what_is_taken_for_real() -> None:
    assert deceived(torch.tensor([3.0, -1.0])).item() == -1.0


def test_it_has_the_weights_and_numbers_of_monais_network() -> None:
    from monai.networks.nets import PatchDiscriminator as Peer

    torch.manual_seed(0)
    peer = Peer(spatial_dims=3, channels=4, in_channels=2, num_layers_d=2, norm="INSTANCE")
    torch.manual_seed(0)
    ours = PatchDiscriminator(in_channels=2, channels=4, layers=2)
    x = torch.randn(1, 2, 16, 24, 16)
    assert torch.equal(ours(x), peer(x)[-1])


@pytest.mark.parametrize("seed", range(4))
def test_its_gradients_are_finite_in_bf16(seed: int) -> None:
    torch.manual_seed(seed)
    discriminator = PatchDiscriminator()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = discriminator(torch.rand(1, 1, 16, 32, 32)).mean()
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in discriminator.parameters() if p.grad is not None)
