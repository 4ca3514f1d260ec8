"""CCDM: what it is asked for, what an unknown value stands for, and that it learns two pairs by heart."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from s2ldm_core.networks.label_embedding import LabelEmbedding, SeenLabels
from s2ldm_core.systems import Batch, Condition, How, Turn, build_system
from tests.tiny_systems import psnr_of_change, taught, two_pairs

NETWORK = {"channels": (48,), "steps": 3, "guidance": 1.0, "start_share": 0.3}


def _system(**changes: Any) -> Any:
    torch.manual_seed(0)
    return build_system("ccdm", {**NETWORK, **changes})


def _asked(seconds: float, phase: int = 0) -> Condition:
    return Condition(phase=torch.tensor([phase]), values={"seconds": torch.tensor([seconds])})


@pytest.fixture(scope="module")
def learnt() -> Any:
    batch = two_pairs()
    return taught(_system(), batch, steps={"diffusion": 150}), batch


@pytest.mark.parametrize("steps", [1, 3])
def test_it_learns_two_pairs_by_heart(learnt: Any, steps: int) -> None:
    system, batch = learnt
    how = How(steps=steps, generator=torch.Generator().manual_seed(0))
    assert psnr_of_change(system, batch, how) >= 35.0


def test_an_unknown_value_is_the_median_of_the_phase_s_training_crops(learnt: Any) -> None:
    system, batch = learnt
    assert system.median.tolist() == pytest.approx([35.0, 70.0])
    source = batch.source[:1]
    nan, own, other = (system.predict_change(source, _asked(s), How(steps=1)) for s in (float("nan"), 35.0, 70.0))
    assert torch.allclose(nan, own, atol=1e-5)
    assert not torch.allclose(own, other, atol=1e-4)
    assert torch.equal(system.predict_change(source, Condition(phase=torch.tensor([0])), How(steps=1)), nan)


def test_medians_are_those_of_known_crops_and_nominal_without_any() -> None:
    system = _system()
    crops = [_batch_of([(0, 20.0), (0, 30.0), (0, 28.0), (1, float("nan"))])]
    system.end_stage("diffusion", crops)
    assert system.median.tolist() == pytest.approx([28.0, 70.0])
    assert [system.phase_at({"seconds": s}) for s in (30.0, 48.0, 50.0)] == [0, 0, 1]
    assert system.labels(_asked(100.0)).tolist() == pytest.approx([0.5])  # of 10 to 190


def _batch_of(known: list[tuple[int, float]]) -> Batch:
    phases, seconds = zip(*known, strict=True)
    condition = Condition(phase=torch.tensor(phases), values={"seconds": torch.tensor(seconds)})
    return Batch(images={}, condition=condition)


def test_seen_labels_hold_the_last_ones() -> None:
    seen = SeenLabels(4)
    for phase, label in ((0, 0.1), (1, 0.2), (0, 0.3), (0, 0.4), (1, 0.5)):
        seen.add(torch.tensor([phase]), torch.tensor([label]))
    assert sorted(seen.labels().tolist()) == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert sorted(seen.labels(0).tolist()) == pytest.approx([0.3, 0.4])


def test_a_dropped_label_is_the_null_embedding_whatever_it_was() -> None:
    embedding = LabelEmbedding(8)
    kept, dropped = embedding(torch.tensor([0.3, 0.3]), dropped=torch.tensor([False, True]))
    assert torch.equal(dropped, embedding.null)
    assert torch.allclose(kept, embedding(torch.tensor([0.3]), dropped=torch.tensor([False]))[0])


def test_null_share_1_in_n_never_sees_the_label() -> None:
    system = _system(null_share=0.999999, vicinal="none").train()
    batch = two_pairs()
    total, _ = system.loss("diffusion", "denoiser", batch, Turn(0.0, generator=torch.Generator().manual_seed(0)))
    total.backward()
    assert all(p.grad is None or not p.grad.any() for p in system.label.layers.parameters())


def test_the_loss_leaves_out_what_was_not_measured() -> None:
    batch = two_pairs()
    valid = torch.ones_like(batch.source, dtype=torch.bool)
    valid[:, :, :4] = False
    wrong = torch.where(valid, batch.change, 0.9)
    losses = []
    for change in (batch.change, wrong):
        system = _system(null_share=0.0, start_share=0.0).train()
        part = replace(batch, images={**batch.images, "change": change}, valid=valid)
        # x_k holds the change where it is invalid too; an answer of 0 everywhere, as at the start, does not depend on x_k.
        loss, _ = system.loss("diffusion", "denoiser", part, Turn(0.0, torch.Generator().manual_seed(0)))
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1])
    assert losses[0] == pytest.approx(float((batch.change[valid] / 0.25).square().sum() / valid.numel()), rel=1e-5)


def test_soft_weights_are_a_mean_and_pixels_can_be_denoised() -> None:
    batch = two_pairs()
    loss, _ = _system(space="pixels", vicinal="soft", with_phase=True).loss(
        "diffusion", "denoiser", batch, Turn(0.0, torch.Generator().manual_seed(0))
    )
    errors = batch.target.square().mean(dim=(1, 2, 3, 4))  # the untrained answer is 0
    assert float(errors.min()) <= float(loss.detach()) <= float(errors.max())


def test_tiles_and_guidance_give_the_whole_volume_s_numbers() -> None:
    system = taught(_system(guidance=1.5), two_pairs(), steps={"diffusion": 3})
    source = torch.randn(1, 1, 8, 70, 50, generator=torch.Generator().manual_seed(0)) * 0.3
    whole, tiles = (
        system.predict_change(source, _asked(40.0), How(steps=2, generator=torch.Generator().manual_seed(1), tile=tile))
        for tile in (None, (2, 16, 16))
    )
    assert float(whole.detach().abs().max()) > 1e-3
    assert torch.allclose(whole, tiles, atol=1e-5)


def test_every_phase_needs_a_nominal_value() -> None:
    with pytest.raises(ValidationError, match="no value of late"):
        _system(phases=("arterial", "late"))


def test_another_value_stands_on_an_axis_of_its_own() -> None:
    with pytest.raises(ValidationError, match="give those of aorta_hu"):
        _system(value="aorta_hu")
    nominal = {"arterial": 250.0, "venous": 120.0}
    system = _system(value="aorta_hu", nominal=nominal, value_range=(0.0, 400.0), with_phase=True)
    assert system.traits.values == ("aorta_hu",)
    asked = Condition(phase=torch.tensor([0, 1]), values={"aorta_hu": torch.tensor([300.0, float("nan")])})
    assert system.labels(asked).tolist() == pytest.approx([0.75, 0.3])
