"""What every system offers: training stages with their players, a loss for each, and a predicted change for a source volume.

Intensities inside a system are *window units*: the model's HU window mapped to [-1, 1] and clipped. A change is in the same units but
not clipped: an arterial aorta may leave the window.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from s2ldm_core.memory import SMALLEST
from s2ldm_core.sampling import FEWEST_STEPS, OWN, Kind, Sampling, mean_and_spread
from s2ldm_core.systems.batch import Batch, Condition, Data
from s2ldm_core.tiling import TILE, Triple, blended, pad_to_multiple

Progress = Callable[[str, float], None]


class SystemConfig(BaseModel):
    """Base of the systems' configurations: unknown keys are errors, every key has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phases: tuple[str, ...] = ("arterial", "venous")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of the training, with its own budget."""

    name: str
    data: Data = "paired"
    cached: str | None = None
    """Key of the map of `System.cache` that this stage leaves as it is, so that it may be computed once a case; pairs only."""
    shipped: bool = True
    """Whether a package holds what it trains; where not, no run that goes through later stages may leave it out."""


@dataclass(frozen=True, kw_only=True)
class Player:
    """Parameters that one AdamW moves; a step of a stage is a step of each of its players, one after the other."""

    name: str
    parameters: Iterable[nn.Parameter]
    lr: float = 1.0
    """Factor of the stage's rate."""
    betas: tuple[float, float] | None = None
    weight_decay: float | None = None
    """Both ``None``: those of the run."""
    steady: bool = False
    """Rate without warm-up and decay, gradient not clipped, as is usual for a discriminator."""
    start: float = 0.0
    """Progress of the stage, in [0, 1), from which it plays."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))


@dataclass
class Turn:
    """A round of a step: what a player leaves there, the next one takes."""

    progress: float
    """Share of the stage that is done."""
    generator: torch.Generator | None = None
    """On the CPU; seeded anew for every player."""
    kept: dict[str, Tensor] = field(default_factory=dict)
    """Such as the detached image that the discriminator is to judge."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How one draw of an answer is computed."""

    steps: int | None = None
    """``None``: the system's own number. More than one: a sample, which follows ``generator`` where the system can sample."""
    generator: torch.Generator | None = None
    tile: Triple | None = None
    """Voxels of the model grid computed at a time, to bound memory; ``None``: all."""
    on_progress: Progress | None = None

    def reporter(self, name: str) -> Callable[[float], None] | None:
        """Takes the fraction done of step ``name``."""
        report = self.on_progress
        return None if report is None else lambda fraction: report(name, fraction)


AT_ONCE = How()
"""The system's own answer, untiled."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What others need to know of a system as configured."""

    multiple_of: Triple
    """Crops must be multiples of this (slices, rows, columns)."""
    tiling: Literal["exact", "blend", "slices"]
    """Tiles have the whole volume's numbers; they overlap and are blended; each is one slice."""
    samples: bool = False
    """Whether answers in more than one step spread with the generator."""
    draws: Kind = "noise"
    """What such answers are drawn from."""
    steps: int = 1
    """Steps of its own answer."""
    values: tuple[str, ...] = ()
    """Names of the condition's values that it heeds, such as ``seconds``."""
    window_hu: tuple[float, float] | None = None
    """HU window that its images must be in, where a loss has a threshold in HU; ``None``: any."""
    redraws: bool = False
    """Whether the whole image is drawn from latents alone: what does not enhance then differs from the source by what these cannot hold."""

    @property
    def smallest_tile(self) -> Triple:
        """Voxels of the smallest tile that gives the same answer: where tiles are blended, the usual one."""
        return SMALLEST if self.tiling == "exact" else TILE

    def settled(self, sampling: Sampling) -> Sampling:
        """``sampling`` with the kind and the steps that it leaves to the system, where draws are to differ."""
        if not sampling.drawn:
            return sampling
        steps = max(self.steps, FEWEST_STEPS) if sampling.steps is None else sampling.steps
        return replace(sampling, kind=sampling.kind or self.draws, steps=steps)


class Alarm(NamedTuple):
    """That a training goes wrong: ``code`` in lower snake case, one ``sentence`` with the numbers."""

    code: str
    sentence: str


class System(nn.Module, ABC):
    """A trainable translator. Subclasses are plain modules and set ``stages`` and ``traits`` when they are made."""

    name: ClassVar[str]
    Config: ClassVar[type[SystemConfig]]
    training_only: ClassVar[tuple[str, ...]] = ()
    """Submodules that stay in checkpoints: neither averaged nor shipped in a package. They are made last, so that the others' weights at
    the start do not depend on them."""
    ceiling: ClassVar[str | None] = None
    """Stage whose `view` bounds what the later ones can reach as long as they do not train its parameters."""
    stages: tuple[Stage, ...]
    traits: Traits

    def __init__(self, config: SystemConfig) -> None:
        super().__init__()
        self.config = config

    def stage(self, name: str) -> Stage:
        """The stage of that name; ``KeyError`` when there is none."""
        return {stage.name: stage for stage in self.stages}[name]

    @abstractmethod
    def players(self, stage: str) -> tuple[Player, ...]:
        """Who plays in ``stage``, in this order; what belongs to none of them is frozen. The first one's loss is the stage's."""

    @abstractmethod
    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar loss of ``player``, and its parts for the log. Only its own parameters get gradients."""

    def begin_stage(self, stage: str) -> None:
        """Called once before the first step of ``stage``, with PyTorch's generators seeded."""

    def end_stage(self, stage: str, batches: Iterable[Batch]) -> None:
        """Called once when ``stage`` is complete, with a few training batches, to fix statistics that later stages need."""

    def cache(self, key: str, image: Tensor, how: How) -> Tensor:
        """Map ``(1, C, d, h, w)`` of an image ``(1, 1, D, H, W)`` that fits ``traits.multiple_of``, on a grid coarser by a whole factor."""
        raise NotImplementedError(f"{self.name} has no map called {key}")

    def view(self, stage: str, batch: Batch, how: How) -> Tensor | None:
        """What validation compares with the true change of whole pairs while ``stage`` is trained; ``None``: nothing."""
        return self.predict_change(batch.source, batch.condition, how)

    def alarms(self, parts: Mapping[str, float], limits: Mapping[str, float]) -> tuple[dict[str, float], list[Alarm]]:
        """What was measured since the last call, and what is wrong with it; ``limits`` are the keys of a run's ``watch``."""
        return {}, []

    def answer(
        self, source: Tensor, condition: Condition, sampling: Sampling = OWN, *, seed: int = 0, how: How = AT_ONCE
    ) -> Tensor:
        """Change ``(B, 1, D, H, W)`` of ``source`` as ``sampling`` says; of several draws mean and spread, ``(B, 2, D, H, W)``.

        Draw k has a generator of ``seed`` + k. A system with `change` has mean and spread of each tile blended, as draws that are blended
        before would cancel out where tiles overlap.
        """

        how = replace(how, steps=self.traits.settled(sampling).steps)

        def draws(predict: Callable[[How], Tensor]) -> Tensor:
            generators = (torch.Generator().manual_seed(seed + k) for k in range(sampling.samples))
            each = (predict(replace(how, generator=generator)).float() for generator in generators)
            return next(each) if sampling.samples == 1 else torch.cat(mean_and_spread(each), dim=1)

        if sampling.samples == 1 or type(self).change is System.change:
            return draws(lambda one: self.predict_change(source, condition, one))
        return self._over_tiles(source, how, lambda part: draws(lambda one: self.change(part, condition, one)))

    def predict_change(self, source: Tensor, condition: Condition, how: How = AT_ONCE) -> Tensor:
        """Predicted CECT − NCCT ``(B, 1, D, H, W)`` of ``source``, of any size, in window units.

        Here: `change` in tiles, as ``traits.tiling`` says. Systems that tile exactly have their own.
        """
        return self._over_tiles(source, how, lambda part: self.change(part, condition, how))

    def _over_tiles(self, source: Tensor, how: How, function: Callable[[Tensor], Tensor]) -> Tensor:
        x, undo = pad_to_multiple(source, self.traits.multiple_of)
        tile = self.tile((x.shape[2], x.shape[3], x.shape[4]), how)
        answer = blended(function, x, tile=tile, multiple_of=self.traits.multiple_of, on_tile=how.reporter("step 1"))
        return answer[(..., *undo)]

    def tile(self, whole: Triple, how: How) -> Triple:
        """Size of the tiles of `change` in a volume of the size ``whole``."""
        return (1, *whole[1:]) if self.traits.tiling == "slices" else how.tile or whole

    def phase_at(self, values: Mapping[str, float]) -> int:
        """Index of the phase that goes with an image asked for by ``values`` alone, such as seconds; heeded where phases are embedded."""
        return 0

    def change(self, source: Tensor, condition: Condition, how: How) -> Tensor:
        """As `predict_change`, of a tile that fits ``traits.multiple_of``, in one go."""
        raise NotImplementedError(f"{self.name} predicts no tiles")

    def ships(self, key: str) -> bool:
        """Whether translation needs the entry ``key`` of ``state_dict``; a system may be part of another."""
        name, _, rest = key.partition(".")
        part = getattr(self, name)
        return name not in self.training_only and (not isinstance(part, System) or part.ships(rest))

    def shipped(self) -> dict[str, Tensor]:
        """The part of ``state_dict`` that translation needs."""
        return {key: value for key, value in self.state_dict().items() if self.ships(key)}

    def load_shipped(self, values: Mapping[str, Tensor]) -> None:
        """Load what `shipped` gave; ``RuntimeError`` unless names and shapes are the same."""
        kept = {key: value for key, value in self.state_dict().items() if not self.ships(key)}
        self.load_state_dict({**kept, **values})

    def strip(self) -> None:
        """Drop what only training needs."""
        for name in self.training_only:
            setattr(self, name, None)
        for part in self.children():
            if isinstance(part, System):
                part.strip()

    def count_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())
