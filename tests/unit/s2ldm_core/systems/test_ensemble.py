"""Several systems as one: the weighted mean in their own way, one member's draw when sampled, trained on the error of the mean."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from s2ldm_core.systems import Condition, How, Turn, build_system
from s2ldm_core.systems.base import AT_ONCE
from tests.adversarial_systems import TINY
from tests.tiny_systems import taught, two_pairs

UNET = {"channels": (4, 4), "blocks": (1, 1), "core_channels": (4, 4), "latent": 2, "detail_window": None}
S2LDM = {
    "autoencoder": {"kind": "plain", "channels": (4, 4), "blocks": (1, 1), "latent": 2},
    "diffusion": {"channels": (4, 4)},
    "loss": {"segmentation": 0.1, "adv": 0.1, "features": 1.0},
    "stages": ("autoencoder", "diffusion", "tissues", "finetune"),
}
"""With parts that no package holds."""
PHASES = torch.tensor([1])


def _ensemble(*members: tuple[str, float, dict[str, Any]], **changes: Any) -> Any:
    torch.manual_seed(0)
    parts = [{"system": system, "share": share, "network": network} for system, share, network in members]
    system = build_system("ensemble", {"members": parts, **changes})
    with torch.no_grad():  # heads begin at zero
        for parameter in system.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return system.eval()


@pytest.fixture
def mixed() -> Any:
    return _ensemble(("unet", 0.7, UNET), ("s2ldm", 0.3, S2LDM))


def _source() -> torch.Tensor:
    return torch.rand(1, 1, 16, 64, 64, generator=torch.Generator().manual_seed(3)) - 0.5


@torch.no_grad()
def _answer(system: Any, source: torch.Tensor, how: How = AT_ONCE) -> torch.Tensor:
    answer: torch.Tensor = system.predict_change(source, Condition(phase=PHASES), how)
    return answer


def test_it_answers_with_the_weighted_mean_whole_and_in_tiles(mixed: Any) -> None:
    source = _source()
    first, second = (_answer(member, source) for member in mixed.members)
    assert (first - second).abs().max() > 0.01
    assert_close(_answer(mixed, source), 0.7 * first + 0.3 * second)
    assert mixed.traits.tiling == "exact"
    assert_close(_answer(mixed, source, How(tile=(8, 32, 32))), _answer(mixed, source), rtol=0, atol=1e-5)
    assert_close(_answer(mixed, source, How(steps=1)), _answer(mixed, source))


def test_every_member_is_told_the_phases_of_the_ensemble() -> None:
    system = _ensemble(("unet", 0.5, UNET), ("unet", 0.5, UNET), phases=("late", "early", "venous"))
    assert {member.config.phases for member in system.members} == {("late", "early", "venous")}


def test_a_sample_is_one_member_s_drawn_by_the_shares() -> None:
    system = _ensemble(("s2ldm", 0.8, S2LDM), ("s2ldm", 0.2, S2LDM))
    assert (system.traits.samples, system.traits.draws) == (True, "noise")
    source, counts = _source()[..., :32, :32], [0, 0]
    for seed in range(40):
        how = How(steps=2, generator=torch.Generator().manual_seed(seed))
        answer = _answer(system, source, how)
        each = []
        for number, member in enumerate(system.members):
            generator = torch.Generator().manual_seed(seed)
            torch.multinomial(torch.tensor([0.8, 0.2]), 1, generator=generator)
            each.append(number) if torch.equal(
                answer, _answer(member, source, How(steps=2, generator=generator))
            ) else None
        (which,) = each
        counts[which] += 1
    assert 4 <= counts[1] <= 14, counts  # of 40 draws at 0.2: outside in 1 of 100
    assert not _ensemble(("s2ldm", 0.5, S2LDM), ("unet", 0.5, UNET)).traits.samples


def test_what_holds_for_all_members_holds_for_it() -> None:
    ccdm = {"channels": (8, 12), "steps": 2}
    traits = _ensemble(("ccdm", 0.5, ccdm), ("ccdm", 0.5, {**ccdm, "steps": 3})).traits
    assert (traits.values, traits.steps) == (("seconds",), 3)
    assert _ensemble(("ccdm", 0.5, ccdm), ("unet", 0.5, UNET)).traits.values == ()
    traits = _ensemble(("pix2pix", 0.5, TINY["pix2pix"]), ("unet", 0.5, UNET)).traits
    assert (traits.tiling, traits.samples) == ("blend", False)
    coarse = {"channels": (4, 4), "blocks": (1, 1), "core_channels": (4, 4, 4), "latent": 2}
    fine, both = (_ensemble(("unet", 0.5, one), ("unet", 0.5, UNET)).traits.multiple_of for one in (UNET, coarse))
    assert both != fine
    assert all(b % f == 0 for b, f in zip(both, fine, strict=True))


def test_it_learns_by_the_error_of_the_mean_and_leaves_alone_who_is_not_to_learn() -> None:
    large = {"channels": (8, 32), "blocks": (1, 1), "core_channels": (48,), "latent": 8}
    members = [
        {"system": "unet", "share": 0.5, "network": large},
        {"system": "unet", "share": 0.5, "network": UNET, "trained": False},
    ]
    torch.manual_seed(0)
    system: Any = build_system("ensemble", {"members": members})
    batch = two_pairs()
    with torch.no_grad():
        for parameter in system.members[1].parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    before = {key: value.clone() for key, value in system.state_dict().items()}
    still = system.members[1].predict_change(batch.source, batch.condition).detach()
    taught(system, batch, steps={"together": 80})
    moved = {key.split(".")[0] for key, value in system.state_dict().items() if not value.equal(before[key])}
    assert moved == {"member_0"}
    learnt = system.members[0].predict_change(batch.source, batch.condition).detach()

    def error(change: torch.Tensor) -> float:
        return float((change - batch.change).square().mean())

    mean = error((learnt + still) / 2)
    assert mean < 0.3 * error(still / 2), "what the mean lacked"
    assert mean < error(learnt), "and not to be right alone"


def test_its_loss_may_be_s2ldm_s(mixed: Any) -> None:
    batch = two_pairs()
    losses = [
        _ensemble(("unet", 0.7, UNET), ("s2ldm", 0.3, S2LDM), loss={"rec_l2": weight}, gradient=0.1).loss(
            "together", "members", batch, Turn(0.0)
        )
        for weight in (0.0, 10.0)
    ]
    assert [sorted(parts) for _, parts in losses] == 2 * [["frequency", "rec"]]
    assert float(losses[1][0].detach()) > float(losses[0][0].detach())
    plain, parts = mixed.loss("together", "members", batch, Turn(0.0))
    answer = mixed.predict_change(batch.source, batch.condition)
    assert_close(plain, (answer - batch.change).abs().mean())
    assert set(parts) == {"l1"}


def test_it_ships_and_trains_what_its_members_ship(mixed: Any) -> None:
    alone = [set(member.shipped()) for member in mixed.members]
    expected = {f"member_{n}.{key}" for n, keys in enumerate(alone) for key in keys}
    assert set(mixed.shipped()) == expected
    assert any("segmenter" in key for key in mixed.state_dict())
    (player,) = mixed.players("together")
    names = {id(parameter): key for key, parameter in mixed.named_parameters()}
    assert {names[id(one)] for one in player.parameters} == {key for key, _ in mixed.named_parameters()} & expected
    source, answer = _source()[..., :32, :32], _answer(mixed, _source()[..., :32, :32])
    mixed.strip()
    assert set(mixed.state_dict()) == expected
    assert torch.equal(_answer(mixed, source), answer)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([{"share": 0.5}, {"share": 0.4}], "add up to 0.9"),
        ([{"share": 0.5}], "at least 2 items"),
        ([{"share": 0.5}, {"share": 0.5, "network": {"phases": ["venous"]}}], "phases are the ensemble's"),
        ([{"share": 0.5}, {"share": 0.5, "system": "ensemble"}], "name its members instead"),
        (
            [
                {"share": 0.5, "system": "ctagan", "network": {**TINY["ctagan"], "window_hu": window}}
                for window in ((-200, 500), (-200, 200))
            ],
            "different HU windows",
        ),
    ],
)
def test_a_wrong_ensemble_is_refused(members: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build_system("ensemble", {"members": members})
