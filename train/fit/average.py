"""The exponential moving average of a system's weights: what validation sees, the next stage starts from and a package holds."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from s2ldm_core.systems import System

_WARMUP_STEPS = 10


class Average:
    """Values of what the system ships, averaged with decay min(``decay``, (1 + step) / (10 + step)); integers are copied."""

    def __init__(self, system: System, *, decay: float) -> None:
        self.decay = decay
        self.values: dict[str, Tensor] = {}
        self.restart(system)

    def restart(self, system: System) -> None:
        """Begin again from the system's present weights."""
        self.values = {key: value.detach().clone() for key, value in system.shipped().items()}

    def load(self, values: dict[str, Tensor], *, device: torch.device) -> None:
        self.values = {key: value.to(device) for key, value in values.items()}

    @torch.no_grad()
    def update(self, system: System, *, step: int) -> None:
        """Take in the weights after optimiser step number ``step`` (from 0) of a stage."""
        decay = min(self.decay, (1 + step) / (_WARMUP_STEPS + step))
        for key, value in system.shipped().items():
            if value.dtype.is_floating_point:
                self.values[key].lerp_(value, 1 - decay)
            else:
                self.values[key].copy_(value)

    @contextmanager
    def applied(self, system: System) -> Iterator[System]:
        """``system`` with the averaged weights, in evaluation mode; its own weights and mode are back, bit for bit, afterwards."""
        own = {key: value.detach().clone() for key, value in system.shipped().items()}
        training = system.training
        system.load_shipped(self.values)
        system.eval()
        try:
            yield system
        finally:
            system.load_shipped(own)
            system.train(training)
