"""The network that names tissues beforehand, and the distance of two images in what it sees."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from s2ldm_core.networks.segmenter import TissueNetwork
from s2ldm_core.phantom import ORGANS
from s2ldm_core.systems import Batch, Condition, Turn, build_system
from s2ldm_core.tissue_groups import GROUPS

FEATURES: dict[str, Any] = {
    "autoencoder": {"kind": "plain"},
    "loss": {"features": 0.5, "finetune_flow": 0.0},
    "stages": ["tissues", "finetune"],
}


def network() -> TissueNetwork:
    torch.manual_seed(0)
    made = TissueNetwork(channels=(8, 12), detail_window=(-0.6, -0.03))
    for parameter in made.parameters():  # blocks and output start as zero
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def batch(organs: torch.Tensor | None = None) -> Batch:
    generator = torch.Generator().manual_seed(1)
    source = torch.rand((2, 1, 8, 32, 32), generator=generator) - 0.5
    images = {"source": source, "change": torch.rand(source.shape, generator=generator)}
    return Batch(images=images, condition=Condition(phase=torch.tensor([0, 1])), organs=organs)


def test_the_distance_grows_with_the_difference_and_only_the_answer_gets_a_gradient() -> None:
    made, crops = network(), batch()
    near, far = (crops.target + k * torch.randn(crops.target.shape) for k in (0.02, 0.2))
    near.requires_grad_(True)
    target = crops.target.clone().requires_grad_(True)
    assert made.distance(target, target, valid=None).item() == 0.0
    distance = made.distance(near, target, valid=None)
    assert 0 < distance.item() < made.distance(far, target, valid=None).item() < 4.0
    distance.backward()
    assert near.grad is not None
    assert near.grad.abs().sum() > 0
    assert target.grad is None


def test_what_was_not_measured_counts_for_nothing() -> None:
    made, crops = network(), batch()
    wrong = crops.target.clone()
    wrong[..., 16:] += 0.5
    valid = torch.ones_like(wrong, dtype=torch.bool)
    valid[..., 16:] = False
    everywhere, measured = (made.distance(wrong, crops.target, valid=mask) for mask in (None, valid))
    assert 0 < measured.item() < 0.3 * everywhere.item()  # what is left is seen from across the border
    valid[...] = False
    assert made.distance(wrong, crops.target, valid=valid).item() == 0.0


def test_it_learns_to_name_tissues_of_source_and_target() -> None:
    torch.manual_seed(0)
    system = build_system("s2ldm", FEATURES)
    organs = torch.full((2, 1, 8, 32, 32), ORGANS["liver"], dtype=torch.uint8)
    organs[..., 16:] = ORGANS["aorta"]
    crops = batch(organs)
    crops.source[..., 16:] += 0.5
    (player,) = system.players("tissues")
    assert {id(p) for p in player.parameters} == {id(p) for p in system.tissues.parameters()}
    optimiser = torch.optim.AdamW(player.parameters, lr=1e-2)
    losses = []
    for step in range(80):
        loss, parts = system.loss(
            "tissues", "tissues", crops, Turn(progress=0, generator=torch.Generator().manual_seed(step))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(parts["naming"].item())
    assert losses[0] == pytest.approx(torch.tensor(float(len(GROUPS))).log().item(), rel=0.2)
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize(("share", "seen"), [(0.0, "target"), (1.0, "source")])
def test_the_share_says_which_image_it_names(share: float, seen: str) -> None:
    system = build_system("s2ldm", {**FEATURES, "tissues": {"source_share": share}})
    torch.manual_seed(0)
    for parameter in system.tissues.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    crops = batch(torch.full((2, 1, 8, 32, 32), ORGANS["liver"], dtype=torch.uint8))
    loss, _ = system.loss("tissues", "tissues", crops, Turn(progress=0, generator=torch.Generator().manual_seed(0)))
    named = system.tissues(getattr(crops, seen), crops.organs)
    assert loss.item() == pytest.approx(named.item())


def test_crops_without_labels_teach_it_nothing() -> None:
    system = build_system("s2ldm", FEATURES)
    loss, _ = system.loss("tissues", "tissues", batch(), Turn(progress=0, generator=torch.Generator().manual_seed(0)))
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is None or not p.grad.any() for p in system.tissues.parameters())


def test_the_last_stage_adds_its_distance_by_its_weight_and_leaves_it_as_it_is() -> None:
    totals = {}
    for weight in (0.5, 1.0):
        torch.manual_seed(0)
        system = build_system("s2ldm", {**FEATURES, "loss": {"features": weight, "finetune_flow": 0.0}})
        torch.manual_seed(1)
        for parameter in system.tissues.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        loss, parts = system.loss("finetune", "finetune", batch(), Turn(progress=0.5))
        totals[weight] = loss.item()
    untaught = system.tissues.distance(batch().source, batch().target, valid=None)  # the answer is still the source
    assert parts["features"].item() == pytest.approx(untaught.item(), rel=1e-4)
    assert totals[1.0] - totals[0.5] == pytest.approx(0.5 * parts["features"].item(), rel=1e-4)
    own = {id(p) for p in system.tissues.parameters()}
    assert not own & {id(p) for p in system.players("finetune")[0].parameters}


def test_it_is_never_shipped_and_its_stage_shows_no_answer() -> None:
    system = build_system("s2ldm", FEATURES)
    assert not any("tissues" in name for name in system.shipped())
    assert system.view("tissues", batch(), None) is None
    system.strip()
    assert system.predict_change(batch().source, batch().condition).shape == batch().source.shape


@pytest.mark.parametrize(
    "network",
    [
        {"loss": {"features": 0.5}},
        {"stages": ["tissues", "finetune"]},
        {"loss": {"features": 0.5}, "stages": ["finetune", "tissues"]},
        {"loss": {"features": 0.5}, "stages": ["tissues"]},
        {"loss": {"features": 0.5}, "stages": ["tissues", "finetune"], "tissues": {"channels": [8] * 5}},
    ],
)
def test_what_cannot_work_is_refused(network: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="tissues"):
        build_system("s2ldm", network)
