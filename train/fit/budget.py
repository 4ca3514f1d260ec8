"""How far a stage is, and the learning rate there."""

import math
import time

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from train.checkpoint import Position
from train.config import OptimConfig, StageConfig


class Budget:
    """The same on all processes, so that all stop, validate and save at the same step."""

    def __init__(self, config: OptimConfig, accelerator: Accelerator) -> None:
        self._config, self._accelerator = config, accelerator

    def progress(self, stage: StageConfig, position: Position) -> float:
        """Share of the stage's budget that is spent."""
        if stage.steps is not None:
            return position.step / stage.steps
        return position.seconds / (60.0 * (stage.minutes or 1.0))

    def lr(self, stage: StageConfig, step: int, progress: float) -> float:
        """Rate of step number ``step``: warm-up, the configured share of the budget constant, then the decay to its end."""
        config = self._config
        warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
        fallen = max(0.0, min(progress, 1.0) - config.constant) / (1 - config.constant)
        left = 1 - fallen if config.decay == "linear" else 0.5 * (1 + math.cos(math.pi * fallen))
        return stage.lr * warm * (config.final + (1 - config.final) * left)

    def clock(self) -> float:
        """Seconds of computing. On a CPU the process's own time a thread, so that budgets compare on a machine that others use too."""
        if self._accelerator.device.type == "cpu":
            return time.process_time() / torch.get_num_threads()
        return time.perf_counter()

    def agreed(self, seconds: float) -> float:
        """The main process's value."""
        if self._accelerator.num_processes == 1:
            return seconds
        return float(broadcast(torch.tensor([seconds], dtype=torch.float64, device=self._accelerator.device))[0])
