"""Early warnings and numbers that are not finite."""

import math
from typing import Any

import pytest
import torch

from s2ldm_core.systems import build_system
from tests.tiny_training import NETWORK
from train.config import WatchConfig
from train.errors import TrainError
from train.fit.watch import Watch, codes_in_use, require_finite


def test_codes_in_use_are_counted_against_what_could_be_used() -> None:
    share, perplexity = codes_in_use(torch.tensor([2, 2, 0, 0, 0, 0, 0, 0]))
    assert share == 0.5  # four latents can use four codes at most
    assert perplexity == pytest.approx(2.0)


def test_a_codebook_of_which_one_code_answers_everything_is_reported_as_dying() -> None:
    system = build_system("s2ldm", NETWORK).train()
    watch = Watch(system, WatchConfig(codes_min=0.1))
    system.quantiser.started.fill_(True)
    system.quantiser(torch.zeros(1, 3, 4, 8, 8), update=False)
    values, alarms = watch.look({}, channels=3)
    assert values == {"codes_share": 1 / 32, "codes_perplexity": pytest.approx(1.0)}
    assert [alarm.code for alarm in alarms] == ["CODEBOOK_DYING"]


def test_codes_used_since_the_last_look_alone_count() -> None:
    system = build_system("s2ldm", NETWORK).train()
    watch = Watch(system, WatchConfig())
    system.quantiser.started.fill_(True)
    system.quantiser(torch.randn(1, 3, 8, 16, 16), update=False)
    first, _ = watch.look({}, channels=3)
    second, alarms = watch.look({}, channels=3)
    assert first["codes_share"] > 0.5
    assert (second, alarms) == ({}, [])


def test_embeddings_of_one_direction_are_reported_as_collapsed() -> None:
    watch = Watch(build_system("s2ldm", NETWORK), WatchConfig(spread_min=0.01))
    values, alarms = watch.look({"latent_spread": 0.001}, channels=3)
    assert values["spread"] == pytest.approx(0.003)
    assert [alarm.code for alarm in alarms] == ["SIMILARITY_COLLAPSED"]


def test_embeddings_spread_evenly_have_a_spread_of_one() -> None:
    directions = torch.nn.functional.normalize(torch.randn(200_000, 16), dim=1)
    values, alarms = Watch(build_system("s2ldm", NETWORK), WatchConfig()).look(
        {"latent_spread": float(directions.var(dim=0).mean())}, channels=16
    )
    assert values["spread"] == pytest.approx(1.0, abs=0.01)
    assert alarms == []


@pytest.mark.parametrize(
    ("loss", "norm", "parts", "named"),
    [
        (math.nan, 1.0, {"rec": math.nan, "quant": 0.1}, "parts rec"),
        (math.inf, 1.0, {"rec": 1.0}, "the loss itself"),
        (1.0, math.inf, {"rec": 1.0}, "its gradient"),
    ],
)
def test_what_is_not_finite_is_named_with_its_step(loss: Any, norm: Any, parts: Any, named: str) -> None:
    with pytest.raises(TrainError, match=f"step 7 of stage diffusion: {named}") as caught:
        require_finite(loss, norm, parts=parts, stage="diffusion", step=7, run="runs/x")
    assert caught.value.code == "loss_not_finite"


def test_finite_numbers_pass() -> None:
    require_finite(1.0, 2.0, parts={"rec": 1.0}, stage="diffusion", step=7, run="runs/x")
