"""CTA-GAN: the region in HU, the middle of the plane, both stages' losses by hand, and the switches of the released code."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from s2ldm_core.intensity import window_to_unit
from s2ldm_core.systems import Batch, Condition, System, Turn, build_system
from s2ldm_core.systems.ctagan import CTAGANConfig, middle, random_affine
from tests.adversarial_systems import JUDGE, SMALL_UNET, TINY, by_heart, psnr_of_change, tiny_config, two_pairs
from train.fit import Fit

FULL = (-1024.0, 3071.0)
SHAPE = (1, 1, 8, 24, 24)


def _system(**changes: Any) -> System:
    torch.manual_seed(0)
    return build_system("ctagan", {**TINY["ctagan"], "window_hu": FULL, **changes})


def _batch() -> Batch:
    """Soft tissue of 40 HU; a corner of the target has 109 HU, a block 200 HU."""
    source, target = torch.full(SHAPE, 40.0), torch.full(SHAPE, 40.0)
    target[..., :4, :4] = 109.0
    target[..., 8:14, 8:14] = 200.0
    source, target = (window_to_unit(image, window_hu=FULL) for image in (source, target))
    return Batch(images={"source": source, "change": target - source}, condition=Condition(phase=torch.tensor([0])))


def test_bright_is_what_the_window_400_50_shows_above_three_tenths() -> None:
    assert CTAGANConfig().bright_hu == pytest.approx(110)
    region = _system().bright(_batch(), None)
    assert region.sum().item() == 8 * 6 * 6
    assert region[..., 8:14, 8:14].all()


def test_the_region_counts_twice_in_the_second_stage_and_not_in_the_first() -> None:
    model, batch = _system(), _batch()
    total, parts = model.loss("region", "generator", batch, Turn(progress=0.0))
    inside = 160.0 / 4095 * 2 * 36 / 24**2
    assert parts["region"].item() == pytest.approx(inside, rel=1e-3)
    outside = 69.0 / 4095 * 2 * 16 / 24**2
    assert parts["correction"].item() == pytest.approx(inside + outside, rel=1e-3)
    rest = parts["adversarial"] + 20 * parts["correction"] + 2 * parts["anchor"]
    assert total.item() == pytest.approx((rest + 2 * parts["region"]).item(), rel=1e-5)
    assert "region" not in model.loss("whole", "generator", batch, Turn(progress=0.0))[1]


def test_the_second_stage_is_judged_as_a_whole_and_in_the_middle_of_the_plane() -> None:
    model, batch, turn = _system(), _batch(), Turn(progress=0.0)
    image = torch.arange(24.0 * 24).view(1, 1, 1, 24, 24)
    assert torch.equal(middle(image), image[..., 6:18, 6:18])
    _, parts = model.loss("region", "generator", batch, turn)
    phase = batch.condition.phase

    def squared(judge: torch.nn.Module, image: torch.Tensor, label: float) -> torch.Tensor:
        return (judge(image, phase) - label).square().mean().detach()

    whole, part = model.discriminator, model.middle_discriminator
    expected = 1.8 * squared(whole, batch.source, 1) + 0.2 * squared(part, middle(batch.source), 1)
    assert parts["adversarial"].item() == pytest.approx(expected.item(), rel=1e-5)
    loss, _ = model.loss("region", "discriminator", batch, turn)
    looks = ((1.8, whole, lambda image: image), (0.2, part, middle))
    both = sum(
        weight * 0.5 * (squared(judge, cut(batch.target), 1) + squared(judge, cut(batch.source), 0))
        for weight, judge, cut in looks
    )
    assert loss.item() == pytest.approx(float(both), rel=1e-5)


def test_the_middle_has_a_discriminator_of_its_own_from_the_second_stage_on() -> None:
    model = _system()
    counts = [len(model.players(stage)[1].parameters) for stage in ("whole", "region")]
    assert counts[1] == 2 * counts[0]
    assert len(_system(scales=1).players("region")[1].parameters) == counts[0]
    assert len(_system(scales=1).judges("region")) == 1


def test_the_second_stage_keeps_generator_and_registration_and_has_new_discriminators() -> None:
    model = _system()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.begin_stage("whole")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    model.begin_stage("region")
    changed = {key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(before[key], value)}
    assert changed == {"discriminator"}


def test_as_released_the_discriminators_keep_the_full_rate() -> None:
    assert [player.steady for player in _system().players("whole")] == [False, False]
    assert [player.steady for player in _system(discriminator_decays=False).players("whole")] == [False, True]


def test_as_released_the_region_lies_a_little_elsewhere_than_the_target() -> None:
    model = _system(misaligned_region=True)
    target = torch.full((1, 1, 1, 100, 100), 40.0)
    target[..., 30:70, 30:70] = 200.0
    images = {"target": window_to_unit(target, window_hu=FULL)}
    batch = Batch(images=images, condition=Condition(phase=torch.tensor([0])))
    first, again, other = (model.bright(batch, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    apart = first != (target > 110)
    assert apart.any()
    assert not apart[..., 35:65, 35:65].any()  # by 2 % of 100 voxels, 1 degree and 2 % of the size
    assert not apart[..., :25, :].any()


def test_the_random_affine_turns_moves_and_scales_within_its_bounds() -> None:
    field = random_affine(torch.Size((64, 1, 2, 101, 101)), torch.Generator().manual_seed(0))
    assert not field[:, 0].any()
    moved = field[:, 1:, 0, 50, 50]  # the middle is not turned or scaled
    assert 0.015 * 101 < moved.abs().max().item() <= 0.02 * 101
    along = field[:, 1, 0, 100, 50] - field[:, 1, 0, 0, 50]  # over 100 rows: 100 · (size · cos − 1)
    assert 1.5 < along.abs().max().item() <= 2.02
    across = field[:, 2, 0, 100, 50] - field[:, 2, 0, 0, 50]  # 100 · size · sin
    assert 1.2 < across.abs().max().item() <= 1.79


def test_images_of_another_window_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"data.window_hu is \[-200.0, 500.0\], but the network counts on"):
        tiny_config("ctagan", tmp_path, tmp_path, network={**TINY["ctagan"], "window_hu": FULL})


def test_two_pairs_are_learnt_by_heart(tmp_path: Path) -> None:
    """35 dB of the change, where no change at all has 20 dB, in the window that the other systems have."""
    store = two_pairs(tmp_path / "store")
    generator = {"system": "pix2pix", "network": {"generator": {**SMALL_UNET, "channels": (8, 12)}}}
    network = {**TINY["ctagan"], "generator": generator, "discriminator": JUDGE}
    system = Fit(by_heart("ctagan", store, tmp_path, steps=40, lr=8e-3, network=network)).fit()
    reached, nothing = psnr_of_change(system, store)
    assert nothing == pytest.approx(20.1, abs=0.5)
    assert reached >= 35
