"""The terms of the image, and what they leave out."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from s2ldm_core.frequency import gradient_loss
from s2ldm_core.systems import Batch, Condition, Turn, build_system
from s2ldm_core.systems.change_loss import ChangeLossConfig, change_loss, voxel_error


def test_voxels_that_enhance_weigh_more_up_to_the_full_weight() -> None:
    loss = ChangeLossConfig(rec_l2=10.0, enhancement=1.5, enhancement_full=0.5)
    change = torch.tensor([0.0, 0.25, -0.5, 1.0]).view(1, 1, 1, 1, 4)
    error = torch.tensor([0.1, 0.1, 0.1, 0.1]).view(1, 1, 1, 1, 4)
    weights = torch.tensor([1.0, 1.75, 2.5, 2.5])
    expected = ((0.1 + 10 * 0.01) * weights).mean()
    assert voxel_error(change + error, change, change=change, valid=None, loss=loss).item() == pytest.approx(expected)


def _pair() -> tuple[Batch, Tensor, Tensor]:
    """A batch of which half is valid, an image that is right there and wrong elsewhere, and where it is valid."""
    g = torch.Generator().manual_seed(0)
    source = torch.rand(2, 1, 8, 32, 32, generator=g)
    valid = torch.zeros(source.shape, dtype=torch.bool)
    valid[..., :16] = True
    organs = torch.zeros(source.shape, dtype=torch.uint8)
    organs[..., 4:28, :] = 65
    change = torch.rand(source.shape, generator=g)
    batch = Batch(
        images={"source": source, "change": change},
        condition=Condition(phase=torch.tensor([0, 1])),
        valid=valid,
        organs=organs,
    )
    return batch, batch.target + torch.where(valid, 0.0, 3.0), valid


def test_no_term_sees_what_the_target_does_not_show() -> None:
    batch, _, _ = _pair()
    batch = replace(batch, images=batch.images | {"change": torch.where(batch.organs == 65, 0.0, batch.change)})
    image = batch.target + torch.where(batch.valid, 0.0, 3.0)
    loss = ChangeLossConfig(rec_l2=1.0, enhancement=1.0, organ_bias=1.0, false_change=1.0, organ_voxels=1)
    total, parts = change_loss(image, batch, loss, gradient=1.0)
    assert set(parts) == {"rec", "organ_bias", "false_change", "frequency"}
    assert total.item() == pytest.approx(0.0, abs=1e-6)
    _, parts = change_loss(image, replace(batch, valid=None), loss, gradient=1.0)
    assert min(part.item() for part in parts.values()) > 0.01


def test_a_voxel_counts_the_same_however_much_of_its_crop_was_measured() -> None:
    batch, _, valid = _pair()
    image = batch.target + torch.rand(valid.shape, generator=torch.Generator().manual_seed(1))
    whole = {
        name: one[..., :16] for name, one in {"image": image, "target": batch.target, "change": batch.change}.items()
    }
    loss = ChangeLossConfig(rec_l2=2.0, enhancement=1.0)
    masked = voxel_error(image, batch.target, change=batch.change, valid=valid, loss=loss)
    alone = voxel_error(whole["image"], whole["target"], change=whole["change"], valid=None, loss=loss)
    assert masked.item() == pytest.approx(alone.item() / 2, rel=1e-5)  # half of the crop
    edges, of_half = gradient_loss(image, batch.target, valid=valid), gradient_loss(whole["image"], whole["target"])
    assert edges.item() == pytest.approx(of_half.item() / 2, rel=0.03)  # the border between both halves has no edge
    nothing = torch.zeros_like(valid)
    assert voxel_error(image, batch.target, change=batch.change, valid=nothing, loss=loss).item() == 0.0


@pytest.mark.parametrize(
    ("system", "stage", "player", "config"),
    [
        ("unet", "regression", "unet", {"core_channels": (4, 6)}),
        ("s2ldm", "autoencoder", "autoencoder", {"autoencoder": {"kind": "plain"}}),
        ("s2ldm", "finetune", "finetune", {"autoencoder": {"kind": "plain"}, "loss": {"finetune_flow": 0.0}}),
    ],
)
def test_every_image_term_of_the_systems_heeds_the_mask(system: str, stage: str, player: str, config: dict) -> None:
    torch.manual_seed(0)
    model = build_system(system, config).eval()
    batch, _, valid = _pair()
    batch = replace(batch, organs=None)
    other = batch.change + torch.where(valid, 0.0, 5.0)
    turn = Turn(progress=0.5, generator=torch.Generator().manual_seed(0))
    name = "l1" if system == "unet" else "rec"
    (_, seen), (_, changed) = (
        model.loss(stage, player, replace(batch, images={**batch.images, "change": change}), turn)
        for change in (batch.change, other)
    )
    if stage == "autoencoder":  # its input is the target itself: what it draws may change, where it is measured may not
        nothing = replace(batch, valid=torch.zeros_like(valid))
        assert model.loss(stage, player, nothing, turn)[1][name].item() == 0.0
    else:
        assert seen[name].item() == pytest.approx(changed[name].item(), rel=1e-6)


def test_the_u_net_learns_with_the_very_loss_of_the_last_stage() -> None:
    torch.manual_seed(0)
    loss = {"rec_l2": 10.0, "enhancement": 1.0, "organ_bias": 10.0}
    model = build_system("unet", {"core_channels": (4, 6), "loss": loss, "gradient": 0.3}).eval()
    batch, _, _ = _pair()
    total, _ = model.loss("regression", "unet", batch, Turn(progress=0.0))
    image = batch.source + model.predict_change(batch.source, batch.condition)
    wanted, _ = change_loss(image, batch, ChangeLossConfig(**loss), gradient=0.3)
    assert total.item() == pytest.approx(wanted.item(), rel=1e-5)
