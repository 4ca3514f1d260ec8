"""CDM: the masked error, what y depends on and stands for, and that two pairs are learnt by heart."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from s2ldm_core.networks.masked_autoencoder import MaskedAutoencoder, patches_of
from s2ldm_core.systems import Batch, How, Turn, build_system
from tests.tiny_systems import SIZE, psnr_of_change, taught, two_pairs

NETWORK = {
    "region": SIZE,
    "patch": (4, 8, 8),
    "width": 24,
    "layers": 1,
    "heads": 2,
    "decoder_layers": 1,
    "mdn_width": 32,
    "mdn_blocks": 2,
    "steps": 4,
    "channels": (48,),
    "loss": {"rec_l2": 200.0},
}
"""L1 alone learns the median, here no change, for longer than a test lasts."""


def _system(**changes: Any) -> Any:
    torch.manual_seed(0)
    return build_system("cdm", {**NETWORK, **changes})


def _how(steps: int | None = None, seed: int = 0) -> How:
    return How(steps=steps, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def learnt() -> Any:
    batch = two_pairs()
    return taught(_system(), batch, steps={"representation": 30, "diffusion": 60, "translation": 200}), batch


def test_it_learns_two_pairs_by_heart(learnt: Any) -> None:
    system, batch = learnt
    assert psnr_of_change(system, batch, _how()) >= 35.0
    assert psnr_of_change(system, batch, _how(1)) >= 35.0


def test_y_depends_on_the_phase_and_in_several_steps_on_the_seed() -> None:
    system, source = _system(), two_pairs().source[:1]
    with torch.no_grad():
        for parameter in system.mdn.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(parameter))))
    arterial, again, venous = (system.drawn(source, torch.tensor([phase]), steps=1) for phase in (0, 0, 1))
    assert torch.equal(arterial, again)
    assert not torch.allclose(arterial, venous, atol=1e-3)
    drawn = [
        system.drawn(source, torch.tensor([0]), steps=4, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_draw_is_the_representation_of_its_own_source_s_target() -> None:
    batch = two_pairs()
    batch = replace(
        batch, condition=replace(batch.condition, phase=torch.tensor([0, 0]))
    )  # so that the phase tells nothing
    system = _system(channels=(4,), width=48, mdn_width=64)
    taught(system, batch, steps={"representation": 30, "diffusion": 250})
    y_0 = system._representation(batch)
    for seed in range(4):
        g = torch.Generator().manual_seed(seed)
        drawn = system.drawn(batch.source, batch.condition.phase, steps=4, generator=g)
        assert float((drawn - y_0).square().mean().detach()) < 0.1  # normalised: an average y has 1, the other's 4


def test_representations_are_normalised_and_the_source_s_encoder_starts_from_the_target_s() -> None:
    system, batch = _system(), two_pairs()
    system.end_stage("representation", [batch])
    y = system._representation(batch)
    assert torch.allclose(y.mean(0), torch.zeros(24), atol=1e-4)
    assert torch.equal(system.source_encoder.represent(batch.source), system.mrm.encoder.represent(batch.source))
    before = system.mean.clone()
    system.end_stage("diffusion", [replace(batch, images={**batch.images, "change": batch.change + 1})])
    assert torch.equal(system.mean, before)


@pytest.fixture
def mae() -> Any:
    torch.manual_seed(0)
    return MaskedAutoencoder(patch=(2, 4, 4), width=12, layers=1, heads=2, decoder_layers=1, masked=0.75)


def test_the_error_is_that_of_masked_patches_alone(mae: Any) -> None:
    with torch.no_grad():
        mae.head.weight.zero_()
        mae.head.bias.fill_(0.5)
    # Patch n is filled with n: its error is (n − 0.5)². Of 4 patches one is seen, the first of the order.
    x = torch.arange(4.0).view(1, 1, 1, 2, 2).repeat_interleave(2, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    assert patches_of(x, (2, 4, 4))[0].mean(1).tolist() == [0, 1, 2, 3]
    order = torch.rand((1, 4), generator=torch.Generator().manual_seed(5)).argsort(1)[0].tolist()
    loss = mae.loss(x, valid=None, generator=torch.Generator().manual_seed(5)).detach()
    assert float(loss) == pytest.approx(sum((n - 0.5) ** 2 for n in order[1:]) / 3)
    invalid = order[1]
    valid = x != invalid
    loss = mae.loss(x, valid=valid, generator=torch.Generator().manual_seed(5)).detach()
    assert float(loss) == pytest.approx(sum((n - 0.5) ** 2 for n in order[2:]) / 3)


def test_masked_patches_are_not_seen(mae: Any) -> None:
    x = torch.randn(1, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    kept = torch.tensor([[1, 6]])
    shown = patches_of(torch.arange(x.numel()).view(x.shape), (2, 4, 4))[0, kept[0]].flatten()
    other = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    other.view(-1)[shown] = x.view(-1)[shown]
    assert torch.allclose(mae._drawn(x, kept), mae._drawn(other, kept))
    assert not torch.allclose(mae._drawn(x, kept), mae._drawn(-x, kept))
    assert mae.encoder(x, kept).shape == (1, 2, 12)
    swapped = x.roll(2, 2)  # the same patches at other places
    assert not torch.allclose(mae.encoder.represent(x), mae.encoder.represent(swapped), atol=1e-4)


def test_stages_move_their_own_networks_and_representation_needs_targets_alone() -> None:
    system, batch = _system(), two_pairs()
    alone = Batch(images={"target": batch.target}, condition=batch.condition)
    assert system.stage("representation").data == "target"
    loss, _ = system.loss("representation", "representation", alone, Turn(0.0, torch.Generator().manual_seed(0)))
    loss.backward()
    own = {id(p) for p in system.players("representation")[0].parameters}
    assert all(p.grad is None for p in system.parameters() if id(p) not in own)
    assert not any(key.startswith("mrm") for key in system.shipped())
    assert system.view("diffusion", batch, _how()) is None


@pytest.mark.parametrize("taught_with", ["drawn", "noised", "true"])
def test_the_u_net_is_taught_with_drawn_noised_or_true_y(taught_with: str) -> None:
    system, batch = _system(taught_with=taught_with, noise=0.5), two_pairs()
    system.end_stage("representation", [batch])
    y, true = system._taught_with(batch, torch.Generator().manual_seed(0)), system._representation(batch)
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    expected = {
        "drawn": system.drawn(batch.source, batch.condition.phase, steps=4, generator=torch.Generator().manual_seed(0)),
        "noised": true + 0.5 * noise,
        "true": true,
    }
    assert torch.allclose(y, expected[taught_with])


def test_a_volume_is_translated_in_regions_whatever_the_tile(learnt: Any) -> None:
    system, batch = learnt
    source = torch.cat([batch.source[:1], batch.source[1:]], dim=3)
    seen: list[tuple[int, ...]] = []
    change = system.change
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system, "change", lambda part, *rest: seen.append(tuple(part.shape[2:])) or change(part, *rest))
        condition = replace(batch.condition, phase=torch.tensor([0]))
        answers = [system.predict_change(source, condition, How(steps=1, tile=tile)) for tile in (None, (8, 8, 8))]
    assert set(seen) == {SIZE}
    assert len(seen) == 2 * 3
    assert torch.equal(*answers)


def test_a_region_holds_whole_patches() -> None:
    with pytest.raises(ValidationError, match="region must be a multiple of patch"):
        _system(region=(8, 20, 16))
    with pytest.raises(ValidationError, match="no multiple of heads"):
        _system(heads=5)
