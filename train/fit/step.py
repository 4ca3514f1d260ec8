"""One step of a stage: its players' optimisers one after the other, each over the batch's crops in rounds.

Gradients are averaged over rounds and processes. A step's batch has numbered items. Process r of w computes, in round k, items
``(k·w + r)·m`` to ``+ m`` (m: the micro-batch), each round seeded by its first item; so w processes in R rounds take the same step as one
process in w·R rounds. The exception is a vector quantiser: its codebook moves once a round, with the latents of all processes.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from s2ldm_core.systems import Batch, Player, System, Turn
from train.config import FitConfig, StageConfig
from train.errors import TrainError
from train.fit.seeds import seed_everything


class _Objective(nn.Module):
    """A player's loss as a forward pass, which is what data-parallel wrappers expect."""

    def __init__(self, system: System, *, stage: str, player: str) -> None:
        super().__init__()
        self.system = system
        self._stage, self._player = stage, player

    def forward(self, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        return self.system.loss(self._stage, self._player, batch, turn)


@dataclass(frozen=True, kw_only=True)
class _Seat:
    """A player with its own wrapper and optimiser."""

    player: Player
    parameters: list[nn.Parameter]
    """In the system's order."""
    objective: nn.Module
    optimiser: torch.optim.Optimizer


class OptimiserStep:
    """The players of stage number ``index``."""

    def __init__(self, system: System, *, config: FitConfig, index: int, accelerator: Accelerator, run: Path) -> None:
        self._config, self._index, self._accelerator, self._run = config, index, accelerator, run
        self._stage: StageConfig = config.stages[index]
        self._all = list(system.parameters())
        self._seats = [self._seat(system, player) for player in system.players(self._stage.name)]
        batch, self._micro = config.batch_of(self._stage)
        self.rounds, rest = divmod(batch, self._micro * accelerator.num_processes)
        if rest or not self.rounds:
            raise TrainError(
                "batch_uneven",
                f"A batch of {batch} cannot be shared by {accelerator.num_processes} processes in micro-batches of {self._micro} "
                f"(stage {self._stage.name}).",
                "Set data.batch to a multiple of processes × data.micro_batch.",
            )

    def _seat(self, system: System, player: Player) -> _Seat:
        optim, own = self._config.optim, {id(p) for p in player.parameters}
        parameters = [p for p in self._all if id(p) in own]
        self._free(parameters)  # the wrapper takes note of what needs gradients
        optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            parameters,
            lr=self._stage.lr * player.lr,
            betas=player.betas or optim.betas,
            weight_decay=optim.weight_decay if player.weight_decay is None else player.weight_decay,
        )
        objective = _Objective(system, stage=self._stage.name, player=player.name).train()
        objective, optimiser = self._accelerator.prepare(objective, optimiser)
        return _Seat(player=player, parameters=parameters, objective=objective, optimiser=optimiser)

    def items(self, number: int) -> range:
        """The items that this process computes in round ``number``."""
        first = (number * self._accelerator.num_processes + self._accelerator.process_index) * self._micro
        return range(first, first + self._micro)

    def __call__(self, draw: Callable[[int, int], Batch], *, step: int, progress: float, lr: float) -> dict[str, float]:
        """Take step number ``step``; ``draw(step, round)`` gives this process's crops. Returns the first player's loss of the whole batch
        as ``loss``, the others' by their names, and the parts in this process's rounds.

        Raises
        ------
        TrainError
            ``loss_not_finite``; the player's weights are as they were before the step then.
        """
        playing = [number for number, seat in enumerate(self._seats) if progress >= seat.player.start]
        rounds: dict[int, tuple[Batch, Turn]] = {}

        def take(number: int, place: int) -> tuple[Batch, Turn]:
            """The first player's draws, which the others then find as it left them."""
            found = rounds.get(number) or (draw(step, number).to(self._accelerator.device), Turn(progress=progress))
            if place != playing[-1]:
                rounds[number] = found
            seeds = (self._config.seed, self._index, step, self.items(number).start)
            found[1].generator = seed_everything(*seeds, *((place,) if place else ()))
            return found

        values: dict[str, float] = {}
        for place in playing:
            values |= self._play(place, take, step=step, lr=lr)
        return values

    def _play(
        self, place: int, take: Callable[[int, int], tuple[Batch, Turn]], *, step: int, lr: float
    ) -> dict[str, float]:
        """A step of the optimiser of player number ``place``."""
        seat = self._seats[place]
        player, accelerator = seat.player, self._accelerator
        if len(self._seats) > 1:
            self._free(seat.parameters)
        for group in seat.optimiser.param_groups:
            group["lr"] = player.lr * (self._stage.lr if player.steady else lr)
        seat.optimiser.zero_grad(set_to_none=True)
        total: Tensor = torch.zeros((), device=accelerator.device)
        parts: dict[str, list[Tensor]] = defaultdict(list)
        for number in range(self.rounds):
            batch, turn = take(number, place)
            last = number == self.rounds - 1
            with nullcontext() if last else accelerator.no_sync(seat.objective):
                with accelerator.autocast():
                    loss, found = seat.objective(batch, turn)
                accelerator.backward(loss / self.rounds)
            total += loss.detach() / self.rounds
            for name, part in found.items():
                parts[name].append(part.detach())
        norm = accelerator.clip_grad_norm_(seat.parameters, math.inf if player.steady else self._config.optim.clip_norm)
        values = {name: float(torch.stack(part).float().mean()) for name, part in parts.items()}
        value = float(accelerator.reduce(total, reduction="mean"))
        where = f"stage {self._stage.name}" + (f", player {player.name}" if place else "")
        require_finite(value, float(norm), parts=values, where=where, step=step, run=self._run)
        seat.optimiser.step()
        return {player.name: value, **values} if place else {"loss": value, "gradient_norm": float(norm), **values}

    def _free(self, parameters: list[nn.Parameter]) -> None:
        """These get gradients, all others do not."""
        own = {id(p) for p in parameters}
        for parameter in self._all:
            parameter.requires_grad_(id(parameter) in own)

    def state_dict(self) -> dict[str, Any]:
        """The optimisers' states by player."""
        return {seat.player.name: seat.optimiser.state_dict() for seat in self._seats}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for seat in self._seats:
            seat.optimiser.load_state_dict(state[seat.player.name])

    def close(self) -> None:
        """Let go of the wrappers that accelerate keeps of model and optimiser."""
        self._accelerator.free_memory(*(part for seat in self._seats for part in (seat.objective, seat.optimiser)))
        self._seats = []


def require_finite(loss: float, norm: float, *, parts: Mapping[str, float], where: str, step: int, run: object) -> None:
    """Stop before a step that would spoil the weights.

    Raises
    ------
    TrainError
        ``loss_not_finite``, naming stage, step and the parts that are not finite.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return
    guilty = [name for name, value in parts.items() if not math.isfinite(value)]
    what = (
        f"parts {', '.join(guilty)}" if guilty else ("the loss itself" if not math.isfinite(loss) else "its gradient")
    )
    raise TrainError(
        "loss_not_finite",
        f"The loss is not finite at step {step} of {where}: {what}.",
        f"The last good checkpoint is in {run}; lower the stage's lr or use precision fp32, then run the same command.",
    )
