"""The training loop: the stages of a system one after the other, resumable at any step.

Everything random at a step (crop, noise, time, code restarts) is seeded from (run seed, stage, step), so a resumed run sees what an
uninterrupted one would have seen and no generator state needs to be kept.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from s2ldm_core.systems import PairBatch, System, build_system
from train.adversary import PatchAdversary
from train.checkpoint import Position, load_checkpoint, save_checkpoint
from train.config import FitConfig, StageConfig
from train.crops import CropSampler
from train.errors import TrainError
from train.store import PairStore

_STATISTICS_BATCHES = 24
_EMA_WARMUP = 10


class _Objective(nn.Module):
    """The loss as a forward pass, which is what data-parallel wrappers expect."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def forward(self, batch: PairBatch, stage: str, progress: float, generator: torch.Generator, adversary: Any) -> Any:
        return self.system.loss(stage, batch, progress=progress, generator=generator, adversary=adversary)


class Fit:
    """One run: its folder holds the resolved configuration, checkpoints and TensorBoard logs."""

    def __init__(self, config: FitConfig) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self.config = config
        self.run = config.output / config.name
        self.run.mkdir(parents=True, exist_ok=True)
        self.accelerator = Accelerator(
            mixed_precision="bf16" if config.precision == "bf16" else "no", cpu=not torch.cuda.is_available()
        )
        torch.manual_seed(config.seed)
        self.system = build_system(config.system, config.network)
        self.system.to(self.accelerator.device)
        self.system.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.ema = {key: value.detach().clone() for key, value in self.system.state_dict().items()}
        self.store = PairStore(config.data.store)
        self.sampler = CropSampler(self.store, config.data, phases=self.system.config.phases, seed=config.seed)
        self.position = Position()
        self._optimiser_state: dict[str, Any] | None = None
        self._adversary_state: dict[str, Any] | None = None

    def fit(self) -> System:
        """Run (or continue) all stages; returns the system with its averaged weights, in evaluation mode."""
        self._resume()
        if self.accelerator.is_main_process:
            resolved = {**self.config.model_dump(mode="json"), "network": self.system.config.model_dump(mode="json")}
            (self.run / "config.yaml").write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")
        for index in range(self.position.stage, len(self.config.stages)):
            self._stage(index)
            self.position = Position(stage=index + 1)
            self._save(None, None)
        self.system.load_state_dict(self.ema)
        return self.system.eval()

    def _stage(self, index: int) -> None:
        stage = self.config.stages[index]
        trainable = {id(p) for p in self.system.trainable(stage.name)}
        parameters = [p for p in self.system.parameters() if id(p) in trainable]
        for parameter in self.system.parameters():
            parameter.requires_grad_(id(parameter) in trainable)
        optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            parameters, lr=stage.lr, betas=self.config.optim.betas, weight_decay=self.config.optim.weight_decay
        )
        objective = _Objective(self.system).train()
        objective, optimiser = self.accelerator.prepare(objective, optimiser)
        adversary = self._adversary(stage)
        if self._optimiser_state is not None:
            optimiser.load_state_dict(self._optimiser_state)
            self._optimiser_state = None
        writer = SummaryWriter(str(self.run / "logs")) if self.accelerator.is_main_process else None
        for progress in self._steps(stage):
            began = self._clock()
            loss, parts = self._step(index, stage, progress, objective, optimiser, parameters, adversary)
            self.position.step += 1
            self.position.seconds += self._clock() - began
            if writer is not None and self.position.step % self.config.log_steps == 0:
                for name, value in {"loss": loss, **parts}.items():
                    writer.add_scalar(f"{stage.name}/{name}", float(value), self.position.step)
            if self.position.step % self.config.checkpoint_steps == 0:
                self._save(optimiser, adversary)
        if writer is not None:
            writer.close()
        self._end_stage(index, stage)

    def _step(
        self,
        index: int,
        stage: StageConfig,
        progress: float,
        objective: nn.Module,
        optimiser: torch.optim.Optimizer,
        parameters: list[nn.Parameter],
        adversary: PatchAdversary | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        step, rank = self.position.step, self.accelerator.process_index
        seed = _mix(self.config.seed, index, step, rank)
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        for group in optimiser.param_groups:
            group["lr"] = self._lr(stage, step, progress)
        batch = _to(self.sampler.batch(stage=index, step=step, rank=rank, crop=stage.crop), self.accelerator.device)
        with self.accelerator.autocast():
            loss, parts = objective(batch, stage.name, progress, generator, adversary)
        if not bool(torch.isfinite(loss)):
            raise TrainError(
                "LOSS_NOT_FINITE",
                f"The loss is not finite at step {step} of stage {stage.name} (parts: {_readable(parts)}).",
                f"The last good checkpoint is in {self.run}; lower the stage's lr or use precision fp32, then run the same command.",
            )
        optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(parameters, self.config.optim.clip_norm)
        optimiser.step()
        if adversary is not None:
            with self.accelerator.autocast():
                discriminator = adversary.step()
            if discriminator is not None:
                parts = {**parts, "discriminator": discriminator}
        self._average(step)
        return loss.detach(), parts

    def _steps(self, stage: StageConfig) -> Iterator[float]:
        """Yields the progress in [0, 1) before each step until the stage's budget is spent."""
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("step {task.fields[step]}"), TimeRemainingColumn(),
            disable=not self.accelerator.is_main_process,
        )  # fmt: skip
        with bar:
            task = bar.add_task(stage.name, total=1.0, step=self.position.step)
            while (progress := self._progress(stage)) < 1.0:
                yield progress
                bar.update(task, completed=progress, step=self.position.step)

    def _progress(self, stage: StageConfig) -> float:
        if stage.steps is not None:
            return self.position.step / stage.steps
        return self.position.seconds / (60.0 * (stage.minutes or 1.0))

    def _clock(self) -> float:
        """Seconds of computing. On a CPU the process's own time a thread, so that budgets compare on a machine that others use too."""
        if self.accelerator.device.type == "cpu":
            return time.process_time() / torch.get_num_threads()
        return time.perf_counter()

    def _lr(self, stage: StageConfig, step: int, progress: float) -> float:
        optim = self.config.optim
        warm = min(1.0, (step + 1) / max(1, optim.warmup_steps))
        return stage.lr * warm * (optim.final + (1 - optim.final) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))

    @torch.no_grad()
    def _average(self, step: int) -> None:
        decay = min(self.config.optim.ema, (1 + step) / (_EMA_WARMUP + step))
        for key, value in self.system.state_dict().items():
            if value.dtype.is_floating_point:
                self.ema[key].lerp_(value, 1 - decay)
            else:
                self.ema[key].copy_(value)

    def _end_stage(self, index: int, stage: StageConfig) -> None:
        """The next stage starts from the averaged weights."""
        self.system.load_state_dict(self.ema)
        batches = (
            _to(self.sampler.batch(stage=index, step=10**9 + i), self.accelerator.device) for i in range(_STATISTICS_BATCHES)
        )
        self.system.eval()
        self.system.end_stage(stage.name, batches)
        self.ema = {key: value.detach().clone() for key, value in self.system.state_dict().items()}
        if self.accelerator.is_main_process:
            save_file({key: value.contiguous() for key, value in self.ema.items()}, self.run / f"{stage.name}.safetensors")
            done = {"stage": stage.name, "steps": self.position.step, "minutes": round(self.position.seconds / 60, 2)}
            with (self.run / "stages.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(done) + "\n")

    def _adversary(self, stage: StageConfig) -> PatchAdversary | None:
        losses = getattr(self.system.config, "loss", None)
        if losses is None or not losses.adv or stage.name == "diffusion":
            return None
        adversary = PatchAdversary(lr=stage.lr, device=self.accelerator.device)
        if self._adversary_state is not None:
            adversary.network.load_state_dict(self._adversary_state["network"])
            adversary.optimiser.load_state_dict(self._adversary_state["optimiser"])
            self._adversary_state = None
        return adversary

    def _save(self, optimiser: torch.optim.Optimizer | None, adversary: PatchAdversary | None) -> None:
        if not self.accelerator.is_main_process:
            return
        state: dict[str, Any] = {
            "system": self.system.state_dict(),
            "ema": self.ema,
            "optimiser": None if optimiser is None else optimiser.state_dict(),
            "adversary": None
            if adversary is None
            else {"network": adversary.network.state_dict(), "optimiser": adversary.optimiser.state_dict()},
        }
        save_checkpoint(self.run, position=self.position, state=state)

    def _resume(self) -> None:
        found = load_checkpoint(self.run)
        if found is None:
            return
        self.position, state = found
        try:
            self.system.load_state_dict(state["system"])
        except RuntimeError as error:
            raise TrainError(
                "CHECKPOINT_DIFFERS",
                f"The checkpoint in {self.run} belongs to another network.",
                "Give the run another name, or move the old folder away.",
            ) from error
        self.ema = {key: value.to(self.accelerator.device) for key, value in state["ema"].items()}
        self._optimiser_state, self._adversary_state = state["optimiser"], state["adversary"]


def _mix(*parts: int) -> int:
    value = 0
    for part in parts:
        value = (value * 1_000_003 + part + 1) % (2**62)
    return value


def _to(batch: PairBatch, device: torch.device) -> PairBatch:
    source = batch.source.to(device, memory_format=torch.channels_last_3d)
    return PairBatch(source=source, change=batch.change.to(device), phase=batch.phase.to(device))


def _readable(parts: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} {float(value):.3g}" for name, value in parts.items()) or "none"


def finished_system(run: Path) -> tuple[FitConfig, System]:
    """Configuration and averaged weights of a run that has completed all its stages.

    Raises
    ------
    TrainError
        ``RUN_MISSING`` or ``RUN_UNFINISHED``.
    """
    found = load_checkpoint(run)
    if found is None or not (run / "config.yaml").is_file():
        raise TrainError("RUN_MISSING", f"There is no training run in {run}.", "Train one: s2ldm-train fit CONFIG.")
    position, state = found
    config = FitConfig.model_validate(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8")))
    if position.stage < len(config.stages):
        raise TrainError(
            "RUN_UNFINISHED",
            f"The run in {run} stopped in stage {config.stages[position.stage].name} at step {position.step}.",
            "Run the same fit command again; it continues there.",
        )
    system = build_system(config.system, config.network)
    system.load_state_dict(state["ema"])
    return config, system.eval()
