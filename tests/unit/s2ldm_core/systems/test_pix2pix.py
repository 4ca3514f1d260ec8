"""Pix2pix: its loss by hand, dropout that samples, phases told apart, two pairs learnt by heart."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from s2ldm_core.networks.instance import PhaseNorm, dropout
from s2ldm_core.systems import Batch, Condition, How, Turn, build_system
from tests.adversarial_systems import SMALL_UNET, TINY, by_heart, psnr_of_change, two_pairs
from train.fit import Fit


def _batch() -> Batch:
    g = torch.Generator().manual_seed(0)
    shape = (2, 1, 8, 16, 16)
    images = {"source": torch.rand(shape, generator=g) - 0.5, "change": torch.rand(shape, generator=g)}
    return Batch(images=images, condition=Condition(phase=torch.tensor([0, 1])))


def test_the_generators_loss_is_a_hundred_times_l1_and_what_the_discriminator_says() -> None:
    torch.manual_seed(0)
    model = build_system("pix2pix", {**TINY["pix2pix"], "dropout": 0.0})
    batch, turn = _batch(), Turn(progress=0.0)
    total, parts = model.loss("gan", "generator", batch, turn)
    assert torch.equal(turn.kept["image"], batch.source)  # no change at the start
    seen = torch.cat([batch.source, batch.source], dim=1)
    logits = model.discriminator(seen, batch.condition.phase)
    l1, adversarial = batch.change.abs().mean(), (logits - 1).square().mean()
    assert parts["l1"].item() == pytest.approx(l1.item())
    assert parts["adversarial"].item() == pytest.approx(adversarial.item(), rel=1e-5)
    assert total.item() == pytest.approx((100 * l1 + adversarial).item())
    loss, _ = model.loss("gan", "discriminator", batch, turn)
    real = model.discriminator(torch.cat([batch.source, batch.target], dim=1), batch.condition.phase)
    by_hand = 0.5 * ((real - 1).square().mean() + logits.square().mean())
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_neither_side_sees_what_was_not_measured() -> None:
    torch.manual_seed(0)
    model = build_system("pix2pix", {**TINY["pix2pix"], "dropout": 0.0})
    torch.nn.init.normal_(model.generator.network.out.weight)
    valid = torch.zeros(2, 1, 8, 16, 16, dtype=torch.bool)
    total, parts = model.loss("gan", "generator", replace(_batch(), valid=valid), turn := Turn(progress=0.0))
    assert parts["l1"].item() == 0.0
    assert torch.equal(turn.kept["image"], _batch().target)  # nothing of it is the generator's
    total.backward()
    assert not model.generator.network.out.weight.grad.any()


def test_dropout_leaves_out_its_share_and_scales_the_rest() -> None:
    x = dropout(torch.ones(1000), 0.25, torch.Generator().manual_seed(0))
    assert x.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (x == 0).float().mean().item() == pytest.approx(0.25, abs=0.04)


def test_with_dropout_a_sample_follows_its_generator_and_one_step_is_the_same_always() -> None:
    torch.manual_seed(0)
    model = build_system("pix2pix", {"generator": {"channels": (4, 6, 8)}, "dropout": 0.5}).eval()
    assert model.traits.samples
    assert not build_system("pix2pix", {}).traits.samples
    torch.nn.init.normal_(model.generator.network.out.weight)
    source, condition = _batch().source, Condition(phase=torch.tensor([0, 1]))

    def answer(steps: int | None, seed: int) -> torch.Tensor:
        how = How(steps=steps, generator=torch.Generator().manual_seed(seed))
        return model.predict_change(source, condition, how)

    assert torch.equal(answer(None, 0), answer(1, 1))
    assert torch.equal(answer(2, 0), answer(2, 0))
    assert not torch.equal(answer(2, 0), answer(2, 1))


def test_dropout_needs_a_u_net() -> None:
    with pytest.raises(ValueError, match="kind unet"):
        build_system("pix2pix", {"generator": {"kind": "resnet"}, "dropout": 0.5})


def test_each_phase_has_its_own_scale_and_shift() -> None:
    norm = PhaseNorm(1, 2)
    norm.affine.weight.data[1] = torch.tensor([1.0, 3.0])  # 2 · x + 3
    x = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 1, 2).expand(2, 1, 1, 1, 2)
    assert norm(x, torch.tensor([0, 1])).flatten().tolist() == pytest.approx([-1, 1, 1, 5], abs=1e-4)


@pytest.mark.parametrize("draws", ["change", "image"])
@pytest.mark.parametrize("kind", ["unet", "resnet"])
def test_a_generator_takes_any_size_and_draws_the_change_or_the_image(kind: str, draws: str) -> None:
    torch.manual_seed(0)
    network = {"generator": {"kind": kind, "channels": (4, 6, 8), "in_plane": 1, "draws": draws}}
    model = build_system("pix2pix", network).eval()
    assert model.traits.multiple_of == (2, 4, 4)
    source = 5 * torch.rand(1, 1, 9, 17, 19)
    change = model.predict_change(source, Condition(phase=torch.tensor([1])))
    assert change.shape == source.shape
    if draws == "change":
        assert not change.any()
    else:
        assert (source + change).abs().max().item() <= 1


def test_two_pairs_are_learnt_by_heart(tmp_path: Path) -> None:
    """35 dB of the change, where no change at all has 20 dB."""
    store = two_pairs(tmp_path / "store")
    network = {**TINY["pix2pix"], "generator": {**SMALL_UNET, "channels": (8, 12)}, "dropout": 0.0}
    system = Fit(by_heart("pix2pix", store, tmp_path, steps=60, lr=8e-3, network=network)).fit()
    reached, nothing = psnr_of_change(system, store)
    assert nothing == pytest.approx(20.1, abs=0.5)
    assert reached >= 35
