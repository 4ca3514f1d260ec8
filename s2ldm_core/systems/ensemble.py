"""Several systems that answer as one: the weighted mean of the changes that they predict (deep ensembles, Lakshminarayanan et al. 2017,
arXiv 1612.01474).

Networks that were trained on other data, or with other seeds, err in other places; their mean is nearer than most of them, for the sum of
their seconds. `train.ensembling` joins finished packages; the one stage, ``together``, trains members on the error of the mean.
"""

from collections.abc import Mapping
from math import fsum, isclose, lcm
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from s2ldm_core.systems.base import AT_ONCE, How, Player, Stage, System, SystemConfig, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import ChangeLossConfig, error_of_change
from s2ldm_core.systems.registry import build_system


class Member(BaseModel):
    """One of the systems."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str = "unet"
    share: float = Field(0.5, gt=0, lt=1)
    """Of its answer in the mean; all shares add up to 1."""
    trained: bool = True
    """Whether ``together`` trains it; else it answers there as it is."""
    network: dict[str, Any] = {}
    """Its own configuration but the phases, which are the ensemble's."""


class EnsembleConfig(SystemConfig):
    """Which systems, and how much each counts."""

    members: tuple[Member, ...] = Field((Member(), Member()), min_length=2)
    loss: ChangeLossConfig | None = None
    """``None``: L1. Else the terms of S2LDM's last stage."""
    gradient: float = Field(0.0, ge=0)
    """Weight of the error of the first differences beside ``loss``."""

    @model_validator(mode="after")
    def _whole(self) -> "EnsembleConfig":
        total = fsum(member.share for member in self.members)
        if not isclose(total, 1.0, abs_tol=1e-6):
            raise ValueError(f"the members' shares add up to {total:g}, not to 1")
        for member in self.members:
            if member.system == Ensemble.name:
                raise ValueError("a member is an ensemble itself: name its members instead")
            if "phases" in member.network:
                raise ValueError("phases are the ensemble's, not a member's")
        return self


class Ensemble(System):
    """The mean of what its members answer, each in its own steps or all in one; what is asked for in more is a sample of one member, drawn
    by the shares."""

    name = "ensemble"
    Config = EnsembleConfig
    stages = (Stage(name="together"),)
    config: EnsembleConfig

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__(config)
        # Each a child of its own, so that its training-only parts stay behind.
        for number, member in enumerate(config.members):
            network = {**member.network, "phases": config.phases}
            self.add_module(f"member_{number}", build_system(member.system, network))
        self.traits = _joined([member.traits for member in self.members])

    @property
    def members(self) -> tuple[System, ...]:
        """In the order of the configuration."""
        return tuple(part for part in self.children() if isinstance(part, System))

    def players(self, stage: str) -> tuple[Player, ...]:
        learning = [member for member, one in zip(self.members, self.config.members, strict=True) if one.trained]
        shipped = [
            parameter for member in learning for key, parameter in member.named_parameters() if member.ships(key)
        ]
        return (Player(name="members", parameters=shipped),)

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        change = self._mean(batch.source, batch.condition, AT_ONCE)
        return error_of_change(change, batch, self.config.loss, gradient=self.config.gradient)

    def predict_change(self, source: Tensor, condition: Condition, how: How = AT_ONCE) -> Tensor:
        if how.steps is None or how.steps == 1:
            return self._mean(source, condition, how)
        shares = torch.tensor([member.share for member in self.config.members])
        drawn = int(torch.multinomial(shares, 1, generator=how.generator))
        return self.members[drawn].predict_change(source, condition, how)

    def phase_at(self, values: Mapping[str, float]) -> int:
        return self.members[0].phase_at(values)

    def _mean(self, source: Tensor, condition: Condition, how: How) -> Tensor:
        total = torch.zeros_like(source, dtype=torch.float32)
        for member, one in zip(self.members, self.config.members, strict=True):
            total = total + one.share * member.predict_change(source, condition, how).float()
        return total


def _joined(traits: list[Traits]) -> Traits:
    """What holds for all of them; ``ValueError`` where they want other HU windows."""
    windows = {one.window_hu for one in traits if one.window_hu is not None}
    if len(windows) > 1:
        raise ValueError(f"the members are for different HU windows: {sorted(windows)}")
    multiples = tuple(lcm(*sizes) for sizes in zip(*(one.multiple_of for one in traits), strict=True))
    tilings, draws = {one.tiling for one in traits}, {one.draws for one in traits}
    return Traits(
        multiple_of=(multiples[0], multiples[1], multiples[2]),
        tiling=traits[0].tiling if len(tilings) == 1 else "blend",
        samples=len(draws) == 1 and all(one.samples for one in traits),
        draws=traits[0].draws,
        steps=max(one.steps for one in traits),
        values=tuple(name for name in traits[0].values if all(name in one.values for one in traits)),
        window_hu=next(iter(windows), None),
        redraws=any(one.redraws for one in traits),
    )
