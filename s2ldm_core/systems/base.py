"""What every system offers: named training stages with a loss each, and a predicted change for a source volume.

Intensities inside a system are *window units*: the model's HU window mapped to [-1, 1] and clipped. A change is in the same units but
not clipped: an arterial aorta may leave the window.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

Triple = tuple[int, int, int]
Progress = Callable[[str, float], None]


class Adversary(Protocol):
    """Generator side of a patch-adversarial loss: ``(fake, real) -> scalar``. Keeps what its own training step needs."""

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor: ...


class SystemConfig(BaseModel):
    """Base of the systems' configurations: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phases: tuple[str, ...] = ("arterial", "venous")


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """A batch of registered crops."""

    source: Tensor
    """``(B, 1, D, H, W)`` NCCT in window units."""
    change: Tensor
    """``(B, 1, D, H, W)`` CECT − NCCT in window units, unclipped, 0 where the source lies outside the window."""
    phase: Tensor
    """``(B,)`` long, index into the configuration's phases."""
    organs: Tensor | None = None
    """``(B, 1, D, H, W)`` uint8 organ labels, 0 where none; ``None`` when no case of the batch has any."""

    @property
    def target(self) -> Tensor:
        """The contrast-enhanced crop in window units."""
        return self.source + self.change


class System(nn.Module, ABC):
    """A trainable translator. Subclasses are plain modules: ``state_dict`` is everything a package needs."""

    name: str
    stages: tuple[str, ...]
    factor: Triple
    """Source sizes must be multiples of this (slices, rows, columns)."""

    def __init__(self, config: SystemConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def trainable(self, stage: str) -> Iterable[nn.Parameter]:
        """The parameters that ``stage`` optimises; everything else stays frozen in it."""

    @abstractmethod
    def loss(
        self,
        stage: str,
        batch: PairBatch,
        *,
        progress: float,
        generator: torch.Generator | None = None,
        adversary: Adversary | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar loss of ``stage`` at training progress ∈ [0, 1], and its parts for the log."""

    @abstractmethod
    def predict_change(
        self,
        source: Tensor,
        phase: Tensor,
        *,
        steps: int | None = None,
        generator: torch.Generator | None = None,
        tile: Triple | None = None,
        on_progress: Progress | None = None,
    ) -> Tensor:
        """Predicted CECT − NCCT ``(B, 1, D, H, W)`` in window units.

        ``steps=None``: the system's deterministic answer. ``tile`` bounds memory (latent voxels a tile); the result is the same.
        """

    def end_stage(self, stage: str, batches: Iterable[PairBatch]) -> None:
        """Called once when ``stage`` is complete, with a few training batches, to fix statistics that later stages need."""

    def count_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())


def core_tile(tile: Triple) -> Triple:
    """Tile for a network that lives on the latent grid alone: larger, since its halo is wide and its memory a fraction."""
    return (4 * tile[0], 2 * tile[1], 2 * tile[2])


def run_on_tiles(on_progress: Progress | None, name: str) -> Callable[[float], None] | None:
    """A ``tiled`` callback that reports as step ``name``."""
    if on_progress is None:
        return None
    return lambda fraction: on_progress(name, fraction)
