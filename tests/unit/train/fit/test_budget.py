"""The learning rate over a stage: warm-up, constant part, decay."""

import math
from typing import Any

import pytest
from accelerate import Accelerator

from train.config import OptimConfig, StageConfig
from train.fit.budget import Budget

STAGE = StageConfig(name="gan", steps=100, lr=2e-4)


def _rate(progress: float, *, step: int = 99, **optim: Any) -> float:
    return Budget(OptimConfig(**optim), Accelerator(cpu=True)).lr(STAGE, step, progress) / STAGE.lr


@pytest.mark.parametrize(("progress", "share"), [(0.0, 1.0), (0.5, 1.0), (0.75, 0.5), (1.0, 0.0)])
def test_half_constant_and_half_linear_is_the_schedule_of_cyclegan(progress: float, share: float) -> None:
    assert _rate(progress, constant=0.5, decay="linear", final=0.0) == pytest.approx(share)


def test_a_cosine_over_the_whole_stage_is_what_there_is_without_any_key() -> None:
    assert [_rate(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.51, 0.02])
    assert _rate(0.6, constant=0.2) == pytest.approx(0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi / 2)))


def test_the_first_steps_warm_up_whatever_follows() -> None:
    assert _rate(0.0, step=0, constant=0.5, decay="linear") == pytest.approx(1 / 50)
