"""The head that names tissues while a network is trained."""

import math

import pytest
import torch

from s2ldm_core.networks.segmenter import Segmenter
from s2ldm_core.phantom import ORGANS
from s2ldm_core.systems import Batch, Condition, Turn, build_system
from s2ldm_core.tissue_groups import GROUPS, UNNAMED, group_table


def test_every_label_has_at_most_one_group() -> None:
    labels = [label for group in GROUPS.values() for label in group]
    assert len(labels) == len(set(labels))
    assert set(labels) <= set(ORGANS)


def test_the_table_gives_a_label_its_group_and_others_none() -> None:
    table = group_table()
    assert table[ORGANS["spleen"]].item() == list(GROUPS).index("spleen")
    assert table[0].item() == UNNAMED
    assert table[255].item() == UNNAMED


def test_labels_of_no_group_count_for_nothing() -> None:
    torch.manual_seed(0)
    head = Segmenter(4)
    seen = torch.randn(1, 4, 2, 8, 8)
    organs = torch.zeros(1, 1, 2, 16, 16, dtype=torch.uint8)
    assert head(seen, organs).item() == 0.0
    organs[..., :8] = ORGANS["aorta"]
    logits = head.head(seen)[..., :4].log_softmax(dim=1)[:, list(GROUPS).index("artery")]
    assert head(seen, organs).item() == pytest.approx(-logits.mean().item(), rel=1e-5)


def test_it_is_trained_in_the_last_stage_and_never_shipped() -> None:
    torch.manual_seed(0)
    config = {"autoencoder": {"kind": "plain"}, "loss": {"segmentation": 0.5, "finetune_flow": 0.0}}
    system = build_system("s2ldm", config)
    assert not any("segmenter" in name for name in system.shipped())
    source = torch.rand(1, 1, 8, 32, 32)
    organs = torch.full(source.shape, ORGANS["liver"], dtype=torch.uint8)
    images = {"source": source, "change": torch.zeros_like(source)}
    batch = Batch(images=images, condition=Condition(phase=torch.tensor([0])), organs=organs)
    loss, parts = system.loss("finetune", "finetune", batch, Turn(progress=0.5))
    assert parts["segmentation"].item() == pytest.approx(math.log(len(GROUPS)), rel=0.5)
    loss.backward()
    assert system.segmenter.head.weight.grad.abs().sum() > 0
    assert any(parameter is system.segmenter.head.weight for parameter in system.players("finetune")[0].parameters)
    system.strip()
    assert system.predict_change(source, batch.condition).shape == source.shape
