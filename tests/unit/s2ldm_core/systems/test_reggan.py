"""RegGAN: its loss by hand, what is left out of it, any one-step system as its generator, targets that lie elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from s2ldm_core.systems import Batch, Condition, System, Turn, build_system
from tests.adversarial_systems import JUDGE, SMALL_UNET, TINY, by_heart, psnr_of_change, two_pairs
from train.fit import Fit

SHAPE = (1, 1, 8, 16, 16)


def _batch(**changes: Any) -> Batch:
    g = torch.Generator().manual_seed(0)
    images = {"source": torch.rand(SHAPE, generator=g), "change": torch.rand(SHAPE, generator=g)}
    return replace(Batch(images=images, condition=Condition(phase=torch.tensor([1]))), **changes)


def _system(shift: float = 0.0) -> System:
    """The registration moves every voxel by about ``shift`` columns, the generator changes nothing."""
    torch.manual_seed(0)
    model = build_system("reggan", TINY["reggan"])
    model.registration.out.bias.data[2] = shift
    return model


def test_the_loss_is_correction_smoothness_and_what_the_discriminator_says_of_the_unmoved_image() -> None:
    model, batch, turn = _system(), _batch(), Turn(progress=0.0)
    total, parts = model.loss("registered", "generator", batch, turn)
    logits = model.discriminator(batch.source, batch.condition.phase)
    adversarial = (logits - 1).square().mean()
    correction = batch.change.abs().mean()
    assert parts["correction"].item() == pytest.approx(correction.item(), rel=1e-5)
    assert parts["adversarial"].item() == pytest.approx(adversarial.item(), rel=1e-5)
    assert parts["anchor"].item() == pytest.approx(correction.item(), rel=1e-5)  # nothing is moved yet
    assert total.item() == pytest.approx((adversarial + 22 * correction).item(), rel=1e-5)
    loss, _ = model.loss("registered", "discriminator", batch, turn)
    real = model.discriminator(batch.target, batch.condition.phase)
    assert loss.item() == pytest.approx(0.5 * ((real - 1).square().mean() + logits.square().mean()).item(), rel=1e-5)


def test_smoothness_counts_ten_times() -> None:
    model, batch = _system(), _batch()
    torch.nn.init.normal_(model.registration.out.weight)
    total, parts = model.loss("registered", "generator", batch, Turn(progress=0.0))
    assert parts["smooth"].item() > 0.01
    rest = parts["adversarial"] + 20 * parts["correction"] + 2 * parts["anchor"]
    assert (total - rest).item() == pytest.approx(10 * parts["smooth"].item(), rel=1e-3)


def test_the_discriminator_and_translation_see_the_image_before_it_is_moved() -> None:
    model, batch, turn = _system(shift=3.0), _batch(), Turn(progress=0.0)
    model.loss("registered", "generator", batch, turn)
    assert torch.equal(turn.kept["image"], batch.source)
    assert not model.predict_change(batch.source, batch.condition).any()


def test_a_target_that_is_the_image_moved_costs_nothing_where_both_are_seen() -> None:
    model, batch = _system(shift=100.0), _batch()  # as far as it may: 4 columns
    target = torch.rand(SHAPE)
    target[..., :-4] = batch.source[..., 4:]
    moved = replace(batch, images={"source": batch.source, "change": target - batch.source})
    _, parts = model.loss("registered", "generator", moved, Turn(progress=0.0))
    assert parts["correction"].item() == pytest.approx(0.0, abs=1e-5)
    assert parts["moved_voxels"].item() == pytest.approx(4 / 3, rel=1e-3)


def test_nothing_is_compared_where_the_target_was_not_measured() -> None:
    model, batch = _system(), _batch(valid=torch.zeros(SHAPE, dtype=torch.bool))
    turn = Turn(progress=0.0)
    _, parts = model.loss("registered", "generator", batch, turn)
    assert parts["correction"].item() == parts["anchor"].item() == 0.0
    assert torch.equal(turn.kept["image"], batch.target)


@pytest.mark.parametrize(
    ("system", "network"),
    [
        ("unet", {"channels": (4, 4), "core_channels": (4, 4), "latent": 2}),
        ("pix2pix", {"generator": SMALL_UNET}),
        ("cyclegan", {}),
    ],
)
def test_any_one_step_system_is_a_generator(system: str, network: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = build_system("reggan", {"generator": {"system": system, "network": network}, "discriminator": JUDGE})
    alone = build_system(system, network)
    assert model.traits == alone.traits
    wanted = {f"generator.{name}" for name in alone.shipped()}
    assert set(model.shipped()) == wanted
    assert not [name for name, _ in model.named_parameters() if name.split(".")[1] in alone.training_only]
    loss, _ = model.loss("registered", "generator", _batch(), Turn(progress=0.0))
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in model.generator.parameters())


@pytest.mark.parametrize(
    ("generator", "reason"),
    [
        ({"system": "pix2pux"}, "did you mean pix2pix"),
        ({"network": {"phases": ["venous"]}}, "phases are named once"),
        ({"system": "s2ldm", "network": {"diffusion": {"steps": 3}}}, "3 steps, not in one"),
    ],
)
def test_what_is_no_generator_is_refused(generator: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build_system("reggan", {"generator": generator})


def test_the_phases_are_the_generators_as_well() -> None:
    model = build_system("reggan", {"phases": ("venous",)})
    assert model.generator.config.phases == ("venous",)


NETWORK: dict[str, Any] = {
    "generator": {"system": "pix2pix", "network": {"generator": {**SMALL_UNET, "channels": (8, 12)}}},
    "registration": {"channels": (4, 6), "in_plane": 1, "largest": (1, 4, 4)},
    "discriminator": JUDGE,
}


def test_two_pairs_are_learnt_by_heart(tmp_path: Path) -> None:
    """35 dB of the change, where no change at all has 20 dB."""
    store = two_pairs(tmp_path / "store")
    system = Fit(by_heart("reggan", store, tmp_path, steps=65, lr=1.2e-2, network=NETWORK)).fit()
    reached, nothing = psnr_of_change(system, store)
    assert nothing == pytest.approx(20.1, abs=0.5)
    assert reached >= 35
