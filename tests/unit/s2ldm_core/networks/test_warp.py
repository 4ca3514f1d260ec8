"""Moving images: known places, half voxels, the border, MONAI's numbers; smoothness by hand."""

import pytest
import torch

from s2ldm_core.networks.registration import RegistrationNetwork
from s2ldm_core.networks.warp import inside, roughness, warped

COUNT = torch.arange(2 * 3 * 4.0).view(1, 1, 2, 3, 4)


def _by(z: float, y: float, x: float) -> torch.Tensor:
    return torch.tensor([z, y, x]).view(1, 3, 1, 1, 1).expand(1, 3, 2, 3, 4)


def test_no_displacement_moves_nothing() -> None:
    assert warped(COUNT, _by(0, 0, 0)) == pytest.approx(COUNT)
    assert inside(_by(0, 0, 0)).all()


@pytest.mark.parametrize(
    ("displacement", "step"), [((1, 0, 0), 12), ((0, 1, 0), 4), ((0, 0, 1), 1), ((0, 0, 0.5), 0.5)]
)
def test_each_channel_moves_its_own_axis_by_voxels(displacement: tuple[float, float, float], step: float) -> None:
    moved = warped(COUNT, _by(*displacement))
    assert moved[0, 0, 0, 0, 0].item() == pytest.approx(step, abs=1e-4)
    assert moved[0, 0, 0, 1, 1].item() == pytest.approx(5 + step, abs=1e-4)


def test_beyond_the_border_is_the_borders_value_and_said_to_be_outside() -> None:
    moved = warped(COUNT, _by(0, 0, 1))
    assert moved[0, 0, 0, 0].tolist() == pytest.approx([1, 2, 3, 3], abs=1e-4)
    assert inside(_by(0, 0, 1))[0, 0, 0, 0].tolist() == [True, True, True, False]
    assert inside(_by(-1, 0, 0))[0, 0, :, 0, 0].tolist() == [False, True]


def test_the_nearest_voxel_keeps_labels() -> None:
    assert set(warped(COUNT, _by(0, 0, 0.4), nearest=True).flatten().tolist()) <= set(range(24))


def test_it_has_the_numbers_of_monais_warp() -> None:
    from monai.networks.blocks import Warp

    g = torch.Generator().manual_seed(0)
    image = torch.rand((2, 1, 5, 6, 7), generator=g)
    displacement = 2 * torch.randn((2, 3, 5, 6, 7), generator=g)
    assert torch.allclose(warped(image, displacement), Warp("bilinear", "border")(image, displacement), atol=1e-5)


def test_roughness_is_the_mean_squared_step_of_the_three_axes() -> None:
    assert roughness(_by(3, -1, 2)).item() == 0.0
    stretched = torch.zeros(1, 3, 2, 3, 4)
    stretched[:, 2] = 0.5 * torch.arange(
        4.0
    )  # columns drift apart by half a voxel: one of three channels, one of three axes
    assert roughness(stretched).item() == pytest.approx(0.25 / 3 / 3)


def test_the_network_moves_nothing_at_first_and_never_farther_than_it_may() -> None:
    torch.manual_seed(0)
    network = RegistrationNetwork(channels=(4, 6, 8), in_plane=1, largest=(1.0, 2.0, 3.0))
    one, other = torch.rand(2, 1, 5, 9, 11), torch.rand(2, 1, 5, 9, 11)
    assert not network(one, other).any()
    torch.nn.init.normal_(network.out.weight, std=100.0)
    found = network(one, other).abs().amax(dim=(0, 2, 3, 4))
    assert found.tolist() == pytest.approx([1, 2, 3], abs=1e-3)


def test_the_network_finds_by_how_much_an_image_was_moved() -> None:
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    image, moved = (
        torch.exp(-((rows - 8) ** 2 + (columns - middle) ** 2) / 8).expand(1, 1, 4, 16, 16).contiguous()
        for middle in (6.5, 8.5)
    )
    network = RegistrationNetwork(channels=(6, 8), in_plane=1, largest=(1.0, 4.0, 4.0))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        displacement = network(image, moved)
        optimiser.zero_grad()
        ((warped(image, displacement) - moved).abs().mean() + 0.05 * roughness(displacement)).backward()
        optimiser.step()
    found = network(image, moved)[0, :, 2, 8, 8]
    assert found[2].item() == pytest.approx(
        -2, abs=0.4
    )  # it lies two columns to the right: its voxels come from the left
    assert found[:2].abs().max().item() < 0.4
