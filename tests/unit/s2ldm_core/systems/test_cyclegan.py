"""CycleGAN: its losses by hand, the pool, what ships, and what two pairs teach it although it never sees them as pairs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from s2ldm_core.systems import Batch, Condition, Turn, build_system
from s2ldm_core.systems.image_pool import ImagePool
from tests.adversarial_systems import SMALL_RESNET, TINY, by_heart, psnr_of_change, two_pairs
from train.fit import Fit

TO_CONTRAST, TO_NATIVE = 0.5, -0.2
"""What the generators of `_system` add to every voxel."""


def _system() -> torch.nn.Module:
    torch.manual_seed(0)
    model = build_system("cyclegan", TINY["cyclegan"])
    model.to_contrast.network.out.bias.data.fill_(TO_CONTRAST)
    model.to_native.network.out.bias.data.fill_(TO_NATIVE)
    return model


def _batch() -> Batch:
    g = torch.Generator().manual_seed(0)
    images = {name: torch.rand((1, 1, 8, 16, 16), generator=g) for name in ("source", "target")}
    return Batch(images=images, condition=Condition(phase=torch.tensor([1])))


def test_the_generators_losses_are_those_of_the_paper() -> None:
    model, batch, turn = _system(), _batch(), Turn(progress=0.0)
    total, parts = model.loss("cycle", "generators", batch, turn)
    made_contrast, made_native = batch.source + TO_CONTRAST, batch.target + TO_NATIVE
    assert turn.kept["contrast"] == pytest.approx(made_contrast)
    adversarial = (model.contrast_judge(made_contrast, batch.condition.phase) - 1).square().mean() + (
        model.native_judge(made_native) - 1
    ).square().mean()
    assert parts["adversarial"].item() == pytest.approx(adversarial.item(), rel=1e-5)
    assert parts["cycle"].item() == pytest.approx(2 * 0.3, rel=1e-5)  # 0.5 − 0.2 on both ways
    assert parts["identity"].item() == pytest.approx(0.5 + 0.2, rel=1e-5)
    assert total.item() == pytest.approx(adversarial.item() + 10 * 0.6 + 5 * 0.7, rel=1e-5)


def test_the_discriminators_lose_half_of_what_they_take_for_the_other() -> None:
    model, batch, turn = _system(), _batch(), Turn(progress=0.0)
    model.loss("cycle", "generators", batch, turn)
    total, _ = model.loss("cycle", "discriminators", batch, turn)
    contrast, native, phase = turn.kept["contrast"], turn.kept["native"], batch.condition.phase
    by_hand = 0.5 * (
        (model.contrast_judge(batch.target, phase) - 1).square().mean()
        + model.contrast_judge(contrast, phase).square().mean()
        + (model.native_judge(batch.source) - 1).square().mean()
        + model.native_judge(native).square().mean()
    )
    assert total.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_what_was_not_measured_of_the_target_teaches_nothing() -> None:
    model, batch = _system(), _batch()
    nothing = replace(batch, valid=torch.zeros(1, 1, 8, 16, 16, dtype=torch.bool))
    turn = Turn(progress=0.0)
    _, parts = model.loss("cycle", "generators", nothing, turn)
    assert parts["cycle"].item() == pytest.approx(0.3, rel=1e-5)
    assert parts["identity"].item() == pytest.approx(0.2, rel=1e-5)
    _, parts = model.loss("cycle", "discriminators", nothing, turn)
    fake = model.contrast_judge(turn.kept["contrast"], batch.condition.phase)
    assert parts["contrast"].item() == pytest.approx(0.5 * fake.square().mean().item(), rel=1e-5)


def test_a_pool_gives_back_what_it_stores_until_it_is_full_and_then_half_of_the_time_an_older_image() -> None:
    pool, generator = ImagePool(2), torch.Generator().manual_seed(0)
    images = torch.arange(200.0).view(-1, 1, 1, 1, 1)
    phases = torch.arange(200) % 2
    taken = [pool.exchange(images[i : i + 1], phases[i : i + 1], generator) for i in range(200)]
    given = [int(image.item()) for image, _ in taken]
    assert given[:2] == [0, 1]
    older = [i for i in range(2, 200) if given[i] != i]
    assert 80 < len(older) < 120
    assert all(given[i] < i for i in older)
    assert len({given[i] for i in older}) == len(older)  # what was given back has left
    assert all(int(phase) == int(image.item()) % 2 for image, phase in taken)
    assert pool.images.shape == (2, 1, 1, 1, 1)


def test_no_pool_gives_back_what_it_gets() -> None:
    pool, images = ImagePool(0), torch.rand(2, 1, 1, 1, 1)
    assert all(torch.equal(pool.exchange(images, torch.tensor([0, 1]), None)[0], images) for _ in range(4))


def test_a_pool_is_restored_however_full_it_was() -> None:
    pool, fresh = ImagePool(4), ImagePool(4)
    pool.exchange(torch.rand(3, 1, 2, 2, 2), torch.tensor([0, 1, 1]), torch.Generator())
    fresh.load_state_dict(pool.state_dict())
    assert torch.equal(fresh.images, pool.images)
    assert fresh.phases.tolist() == [0, 1, 1]


def test_two_pairs_are_learnt_as_far_as_unpaired_images_teach(tmp_path: Path) -> None:
    """Not 35 dB: the images come in no pairs, so nothing says how much a voxel rises but what enhanced images look like.

    No change at all has 20.1 dB; 23 to 24 are reached here with the weight of the cycle at 3, and 26 with longer training.
    """
    store = two_pairs(tmp_path / "store")
    network = {
        **TINY["cyclegan"],
        "generator": {**SMALL_RESNET, "channels": (8, 12)},
        "discriminator": {"channels": 8, "layers": 1},
        "cycle": 3.0,
    }
    system = Fit(by_heart("cyclegan", store, tmp_path, steps=45, lr=1e-2, network=network)).fit()
    reached, nothing = psnr_of_change(system, store)
    assert reached > nothing + 2
