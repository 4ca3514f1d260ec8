"""What a system is given: crops with the condition they show, as the kind of data of a training stage draws them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

Data = Literal["paired", "unpaired", "source", "target"]
"""Registered pairs; source and target of two patients at the same level of the body; one of both alone."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What contrast-enhanced image is wanted, for each item of a batch."""

    phase: Tensor
    """``(B,)`` long, index into the configuration's phases."""
    values: Mapping[str, Tensor] = field(default_factory=dict)
    """Name → ``(B,)`` float; NaN where unknown. Crops have ``seconds`` (after the start of the injection) and ``aorta_hu`` (how much the
    aorta enhances)."""

    def value(self, name: str) -> Tensor:
        """``(B,)`` float: NaN for all when nobody gave it."""
        return self.values.get(name, torch.full(self.phase.shape, torch.nan, device=self.phase.device))

    def to(self, device: torch.device) -> "Condition":
        return Condition(phase=self.phase.to(device), values={k: v.to(device) for k, v in self.values.items()})


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Crops ``(B, 1, D, H, W)`` in window units; asking for an image that the stage's kind of data lacks is a ``KeyError``."""

    images: Mapping[str, Tensor]
    """``source`` and ``change`` of pairs, ``source`` and ``target`` when unpaired, else one of both; empty with ``cached``."""
    condition: Condition
    """Of the target."""
    valid: Tensor | None = None
    """``(B, 1, D, H, W)`` bool: where the target was measured, not continued; ``None``: everywhere."""
    organs: Tensor | None = None
    """``(B, 1, D, H, W)`` uint8 labels of the source, 0 where none; ``None`` when no case of the batch has any."""
    cached: Mapping[str, Tensor] = field(default_factory=dict)
    """``source`` and ``target`` as `s2ldm_core.systems.System.cache` maps them, where a stage draws its crops from these."""

    @property
    def source(self) -> Tensor:
        """Non-contrast crop."""
        return self.images["source"]

    @property
    def target(self) -> Tensor:
        """Contrast-enhanced crop; unclipped where it is the source + change of a pair."""
        return self.images["target"] if "target" in self.images else self.images["source"] + self.images["change"]

    @property
    def change(self) -> Tensor:
        """CECT − NCCT of a pair, unclipped, 0 where the source lies outside the window."""
        return self.images["change"]

    def to(self, device: torch.device) -> "Batch":
        """The same on ``device``, the images as the networks like them in memory."""
        return replace(
            self,
            images={k: v.to(device, memory_format=torch.channels_last_3d) for k, v in self.images.items()},
            condition=self.condition.to(device),
            valid=None if self.valid is None else self.valid.to(device),
            organs=None if self.organs is None else self.organs.to(device),
            cached={k: v.to(device) for k, v in self.cached.items()},
        )
