"""ALDM: the switch of MS-SPADE, the losses with and without what the release leaves out, and what it reaches on two pairs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from s2ldm_core.errors import PackageError
from s2ldm_core.networks.perceptual import PerceptualDistance
from s2ldm_core.networks.spade import MultiSwitchableSpade, PhaseJudge, SelfModulation, SwitchedConv
from s2ldm_core.systems import How, Turn, build_system
from tests.diffusion_systems import TINY
from tests.tiny_systems import psnr_of_change, taught, two_pairs

SMALL = {key: value for key, value in TINY["aldm"].items() if key != "loss"}
_NO_JUDGES = {"adversarial": 0.0, "spade_adversarial": 0.0, "cycle": 0.0}


def _system(**changes: Any) -> Any:
    torch.manual_seed(0)
    return build_system("aldm", {**SMALL, **changes})


def _turn(progress: float = 0.5) -> Turn:
    return Turn(progress, torch.Generator().manual_seed(0))


def test_it_learns_two_pairs_as_well_as_its_codebook_can_hold_them() -> None:
    """35 dB is out of reach in seconds: codes follow the moving latents, and what they round away is lost (measured: 29.6 dB after 250
    steps). What can be asked for is that MS-SPADE and the diffusion find the codes, so that the answer is as good as the ceiling."""
    autoencoder = {"channels": (32, 64), "blocks": (1, 1), "latent": 8, "codes": 1024, "decay": 0.8}
    diffusion = {"channels": (64,), "steps": 8, "target": "x0"}
    system = _system(
        autoencoder=autoencoder,
        spade={"channels": (16, 16), "hidden": 8},
        diffusion=diffusion,
        loss=_NO_JUDGES,
        voxels={"rec_l2": 20.0},
    )
    batch = two_pairs()
    taught(system, batch, steps={"autoencoder": 220, "spade": 80, "diffusion": 80})
    how = How(generator=torch.Generator().manual_seed(0))
    ceiling = system.view("autoencoder", batch, how).detach()
    reached = float(20 * torch.log10(batch.change.max() / (ceiling - batch.change).square().mean().sqrt()))
    assert reached >= 25.0
    assert psnr_of_change(system, batch, how) >= reached - 1.0
    assert psnr_of_change(system, batch, How(steps=1)) >= 22.0  # MS-SPADE alone; no change at all: 20.1


def test_a_switched_convolution_is_each_item_s_own() -> None:
    torch.manual_seed(0)
    conv, x = SwitchedConv(2, 3, phases=3), torch.randn(4, 2, 3, 4, 5)
    phase = torch.tensor([2, 0, 2, 1])
    each = [F.conv3d(x[i : i + 1], conv.weight[p], conv.bias[p], padding=1) for i, p in enumerate(phase.tolist())]
    assert torch.allclose(conv(x, phase), torch.cat(each), atol=1e-5)


@pytest.mark.parametrize(
    ("norm", "expected"), [("voxel", [[-1.0, -1.0], [1.0, 1.0]]), ("instance", [[-1.0, 1.0], [-1.0, 1.0]])]
)
def test_self_modulation_scales_and_shifts_the_normalised_feature(norm: Any, expected: list[list[float]]) -> None:
    module = SelfModulation(2, hidden=2, phases=2, norm=norm)
    x = torch.tensor([[1.0, 3.0], [2.0, 8.0]]).view(1, 2, 1, 1, 2)
    with torch.no_grad():
        module.modulation.weight.zero_()
        module.modulation.bias.copy_(torch.tensor([[9.0, 9.0, 9.0, 9.0], [0.5, 1.0, -1.0, 2.0]]))
    answer = module(x, torch.tensor([1])).detach().view(2, 2)
    wanted = torch.tensor(expected) * torch.tensor([[1.5], [2.0]]) + torch.tensor([[-1.0], [2.0]])
    assert torch.allclose(answer, wanted, atol=1e-3)


def test_an_untrained_spade_changes_nothing_and_a_phase_s_weights_move_with_it_alone() -> None:
    torch.manual_seed(0)
    spade = MultiSwitchableSpade(latent=2, channels=(4,), hidden=3, phases=2, norm="voxel")
    z = torch.randn(1, 2, 3, 4, 4)
    assert torch.equal(spade(z, torch.tensor([1])), z)
    torch.nn.init.ones_(spade.out.weight)
    spade(z, torch.tensor([1])).sum().backward()
    weights = [p for name, p in spade.named_parameters() if "modulation" in name]
    assert all(not p.grad[0].any() for p in weights if p.grad is not None)
    assert any(bool(p.grad[1].any()) for p in weights if p.grad is not None)


def test_the_judge_s_last_class_is_the_made_up_one() -> None:
    judge = PhaseJudge(latent=2, phases=2)
    with torch.no_grad():
        judge.judge.weight.zero_()
        judge.judge.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    z = torch.randn(1, 2, 3, 3, 3)
    # Softmax of (0, 0, 1): 1 / (2 + e), 1 / (2 + e), e / (2 + e) with 2 + e = 4.71828: −log 0.21194 = 1.55144, −log 0.57612 = 0.55144.
    assert float(judge.loss(z, torch.tensor([1])).detach()) == pytest.approx(1.55144, abs=1e-4)
    assert float(judge.loss(z, torch.tensor([judge.made_up])).detach()) == pytest.approx(0.55144, abs=1e-4)


def test_l_auto_is_the_weighted_sum_of_its_parts() -> None:
    weights = {"reconstruction": 2.0, "codebook": 3.0, "cycle": 0.5, "adversarial": 0.25}
    system = _system(loss=weights).train()
    loss, parts = system.loss("autoencoder", "autoencoder", two_pairs(), _turn())
    expected = 2 * parts["rec"] + 3 * parts["quant"] + 0.5 * parts["cycle"] + 0.25 * parts["adversarial"]
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_the_released_configuration_is_l1_alone_on_latents_as_they_are() -> None:
    system = _system(released=True).train()
    assert system.discriminator is None
    assert system.judge is None
    loss, parts = system.loss("autoencoder", "autoencoder", two_pairs(), _turn())
    assert float(loss.detach()) == pytest.approx(float(parts["rec"]))
    system.end_stage("autoencoder", [two_pairs()])
    assert system.latent_std.tolist() == [1.0, 1.0, 1.0]
    sound = _system()
    sound.end_stage("autoencoder", [two_pairs()])
    batch = two_pairs()
    z = torch.cat([sound.encode(batch.source), sound.encode(batch.target)]).movedim(1, 0).flatten(1)
    assert torch.allclose(z.mean(1), torch.zeros(3), atol=1e-4)
    assert torch.allclose(z.std(1), torch.ones(3), atol=1e-3)


def test_reconstruction_leaves_out_what_was_not_measured() -> None:
    batch = two_pairs()
    valid = torch.ones_like(batch.source, dtype=torch.bool)
    valid[:, :, :4] = False
    target = torch.where(valid, batch.target, 5.0)  # clipped to the window before it is encoded
    losses = []
    for images in (batch.images, {**batch.images, "change": target - batch.source}):
        system = _system(released=True)
        with torch.no_grad():
            for parameter in system.decoder.parameters():
                parameter.zero_()
        part = replace(batch, images=images, valid=valid)
        losses.append(float(system.loss("autoencoder", "autoencoder", part, _turn())[0].detach()))
    expected = 0.5 * float(batch.source.abs().mean()) + 0.5 * float((batch.target.abs() * valid).mean())
    assert losses == pytest.approx([expected, expected], rel=1e-5)


def test_spade_alone_is_the_answer_in_one_step_or_where_it_is_asked_for() -> None:
    system, batch = _system(), two_pairs()
    one = system.predict_change(batch.source, batch.condition, How(steps=1))
    alone = _system(answer="spade")
    alone.load_state_dict(system.state_dict())
    assert (alone.traits.steps, alone.traits.samples) == (1, False)
    assert torch.equal(alone.predict_change(batch.source, batch.condition), one)
    assert not one.any()  # an untrained MS-SPADE changes nothing, and the same is decoded twice
    drawn = [
        system.predict_change(batch.source, batch.condition, How(generator=torch.Generator().manual_seed(seed)))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_tiles_have_the_numbers_of_the_whole_volume() -> None:
    system = taught(_system(), two_pairs((8, 32, 32)), steps={"autoencoder": 2, "spade": 2, "diffusion": 2})
    batch = two_pairs((8, 72, 64))
    whole, tiles = (
        system.predict_change(batch.source, batch.condition, How(generator=torch.Generator().manual_seed(0), tile=tile))
        for tile in (None, (2, 16, 16))
    )
    assert float(whole.detach().abs().max()) > 0
    assert torch.allclose(whole, tiles, atol=1e-4)


def test_perceptual_weights_come_from_a_file_of_this_machine(tmp_path: Path) -> None:
    torch.manual_seed(0)
    donor = PerceptualDistance()
    for parameter in donor.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path / "vgg16.safetensors"
    save_file({**donor.state_dict(), "classifier.6.bias": torch.zeros(1000)}, path)
    system = _system(perceptual_weights=str(path))
    system.begin_stage("autoencoder")
    batch = two_pairs()
    distance = float(donor(batch.source, batch.target))
    assert distance > 0
    assert float(system.perceptual(batch.source, batch.target)) == pytest.approx(distance)
    assert float(donor(batch.source, batch.source)) == 0
    _, parts = system.train().loss("autoencoder", "autoencoder", batch, _turn())
    assert parts["perceptual"] > 0
    assert not any(key.startswith("perceptual") for key in system.shipped())
    with pytest.raises(PackageError) as caught:
        donor.load(tmp_path / "nothing.safetensors")
    assert caught.value.code == "perceptual_weights"
