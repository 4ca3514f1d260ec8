"""One optimiser step: the batch's crops computed in rounds, their gradients averaged over rounds and processes.

A step's batch has numbered items. Process r of w computes, in round k, items ``(k·w + r)·m`` to ``+ m`` (m: the micro-batch), each round
seeded by its first item; so w processes in R rounds take the same step as one process in w·R rounds. The exception is a vector quantiser:
its codebook moves once a round, with the latents of all processes.
"""

from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from s2ldm_core.systems import PairBatch, System
from s2ldm_core.systems.s2ldm import S2LDM
from train.adversary import PatchAdversary
from train.config import FitConfig, StageConfig
from train.errors import TrainError
from train.fit.latents import LatentBatch, latent_loss
from train.fit.seeds import seed_everything
from train.fit.watch import require_finite

Batch = PairBatch | LatentBatch
_ADVERSARY_STREAM = 10**9


class _Objective(nn.Module):
    """The loss as a forward pass, which is what data-parallel wrappers expect."""

    def __init__(self, system: System, *, stage: str, adversary: PatchAdversary | None) -> None:
        super().__init__()
        self.system = system
        self._stage, self._adversary = stage, adversary

    def forward(self, batch: Batch, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        if isinstance(batch, LatentBatch):
            if not isinstance(self.system, S2LDM):
                raise TypeError("only S2LDM has latents")
            return latent_loss(self.system, batch, progress=progress, generator=generator)
        return self.system.loss(self._stage, batch, progress=progress, generator=generator, adversary=self._adversary)


class OptimiserStep:
    """The optimiser of stage number ``index`` and, with an adversarial loss, its discriminator."""

    def __init__(self, system: System, *, config: FitConfig, index: int, accelerator: Accelerator, run: Path) -> None:
        self._config, self._index, self._accelerator, self._run = config, index, accelerator, run
        self._stage: StageConfig = config.stages[index]
        trainable = {id(p) for p in system.trainable(self._stage.name)}
        self._parameters = [p for p in system.parameters() if id(p) in trainable]
        for parameter in system.parameters():
            parameter.requires_grad_(id(parameter) in trainable)
        optim = config.optim
        optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            self._parameters, lr=self._stage.lr, betas=optim.betas, weight_decay=optim.weight_decay
        )
        self._adversary = self._make_adversary(system)
        objective = _Objective(system, stage=self._stage.name, adversary=self._adversary).train()
        self._objective, self._optimiser = accelerator.prepare(objective, optimiser)
        batch, self._micro = config.batch_of(self._stage)
        self.rounds, rest = divmod(batch, self._micro * accelerator.num_processes)
        if rest or not self.rounds:
            raise TrainError(
                "batch_uneven",
                f"A batch of {batch} cannot be shared by {accelerator.num_processes} processes in micro-batches of {self._micro} "
                f"(stage {self._stage.name}).",
                "Set data.batch to a multiple of processes × data.micro_batch.",
            )

    def items(self, number: int) -> range:
        """The items that this process computes in round ``number``."""
        first = (number * self._accelerator.num_processes + self._accelerator.process_index) * self._micro
        return range(first, first + self._micro)

    def __call__(self, draw: Callable[[int, int], Batch], *, step: int, progress: float, lr: float) -> dict[str, float]:
        """Take step number ``step``; ``draw(step, round)`` gives this process's crops. Returns the loss of the whole batch
        and its parts in this process's rounds.

        Raises
        ------
        TrainError
            ``loss_not_finite``; the weights are as they were before the step then.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        self._optimiser.zero_grad(set_to_none=True)
        total: Tensor = torch.zeros((), device=self._accelerator.device)
        parts: dict[str, list[Tensor]] = defaultdict(list)
        for number in range(self.rounds):
            generator = seed_everything(self._config.seed, self._index, step, self.items(number).start)
            batch = to_device(draw(step, number), self._accelerator.device)
            last = number == self.rounds - 1
            with nullcontext() if last else self._accelerator.no_sync(self._objective):
                with self._accelerator.autocast():
                    loss, found = self._objective(batch, progress, generator)
                self._accelerator.backward(loss / self.rounds)
            total += loss.detach() / self.rounds
            for name, part in found.items():
                parts[name].append(part)
        norm = self._accelerator.clip_grad_norm_(self._parameters, self._config.optim.clip_norm)
        values = {name: float(torch.stack(part).float().mean()) for name, part in parts.items()}
        value = float(self.mean(total))
        require_finite(value, float(norm), parts=values, stage=self._stage.name, step=step, run=self._run)
        self._optimiser.step()
        if self._adversary is not None:
            with self._accelerator.autocast():
                discriminator = self._adversary.step(mean=self.mean)
            if discriminator is not None:
                values["discriminator"] = float(discriminator)
        return {"loss": value, "gradient_norm": float(norm), **values}

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the processes."""
        reduced: Tensor = self._accelerator.reduce(value, reduction="mean")
        return reduced

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimiser": self._optimiser.state_dict(),
            "adversary": None if self._adversary is None else self._adversary.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["optimiser"] is not None:
            self._optimiser.load_state_dict(state["optimiser"])
        if self._adversary is not None and state["adversary"] is not None:
            self._adversary.load_state_dict(state["adversary"])

    def close(self) -> None:
        """Let go of the wrappers that accelerate keeps of model and optimiser."""
        self._objective, self._optimiser = self._accelerator.free_memory(self._objective, self._optimiser)

    def _make_adversary(self, system: System) -> PatchAdversary | None:
        losses = getattr(system.config, "loss", None)
        if losses is None or not losses.adv or self._stage.name == "diffusion":
            return None
        seed_everything(self._config.seed, self._index, _ADVERSARY_STREAM)
        return PatchAdversary(lr=self._stage.lr, device=self._accelerator.device)


def to_device(batch: Batch, device: torch.device) -> Batch:
    if isinstance(batch, LatentBatch):
        return batch.to(device)
    source = batch.source.to(device, memory_format=torch.channels_last_3d)
    organs = None if batch.organs is None else batch.organs.to(device)
    return PairBatch(source=source, change=batch.change.to(device), phase=batch.phase.to(device), organs=organs)
