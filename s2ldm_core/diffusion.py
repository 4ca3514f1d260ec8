"""The diffusion process of stage 2: what is noised into what, what the network predicts, and how it is sampled.

Eq. 4 of S2LDM (arXiv 2406.13977) as printed has neither a noised variable nor a target, so three readings are built:

========= ===================== ============================== =====================
mode      x at t = 0            x at t = 1                     network input
========= ===================== ============================== =====================
concat    z_c                   ε                              [x_t, z_n ⊗ S]
bridge    z_c                   z_n ⊗ S + σ ε                  [x_t, z_n ⊗ S]
literal   z_n ⊗ S               ε                              x_t
========= ===================== ============================== =====================

Every process is x_t = a(t) x_0 + b(t) x_1. ``flow``: a = 1 − t, b = t (rectified flow; the deterministic step below is then
exactly Euler's). ``ddpm``: a = √ᾱ, b = √(1 − ᾱ), scaled-linear β from 0.0015 to 0.0195, T = 1000.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Mode = Literal["concat", "bridge", "literal"]
Schedule = Literal["flow", "ddpm"]
Target = Literal["velocity", "epsilon", "x0"]

_DDPM_STEPS = 1000
_MIN_COEFFICIENT = 1e-2
"""No estimate divides by less: at t = 1 the flow's a(t) is 0 and an ε-prediction says nothing about x_0."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One reading of the diffusion; tensors are ``(B, C, d, h, w)``, times ``(B,)`` in [0, 1]."""

    mode: Mode = "concat"
    schedule: Schedule = "flow"
    target: Target = "velocity"
    t_start: float = 0.5
    """Literal reading only: how far z_n is noised before denoising."""
    bridge_sigma: float = 0.1

    def __post_init__(self) -> None:
        if self.mode == "bridge" and (self.schedule, self.target) != ("flow", "velocity"):
            raise ValueError("the bridge runs between two data points: it needs schedule flow and target velocity")

    @property
    def conditioned(self) -> bool:
        """Whether z_n ⊗ S is concatenated to the network's input."""
        return self.mode != "literal"

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """a(t), b(t), shaped to broadcast over ``(B, C, d, h, w)``."""
        t = t.float()
        if self.schedule == "flow":
            a, b = 1 - t, t
        else:
            beta = torch.linspace(0.0015**0.5, 0.0195**0.5, _DDPM_STEPS, dtype=torch.float64) ** 2
            bar = torch.cumprod(1 - beta, 0).float().to(t.device)
            bar = bar[(t * (_DDPM_STEPS - 1)).round().long().clamp(0, _DDPM_STEPS - 1)]
            a, b = bar.sqrt(), (1 - bar).sqrt()
        return a[:, None, None, None, None], b[:, None, None, None, None]

    def endpoints(self, *, z_n: Tensor, z_c: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(x_0, x_1) of a training pair; ``z_n`` already multiplied by S."""
        if self.mode == "concat":
            return z_c, noise
        if self.mode == "bridge":
            return z_c, z_n + self.bridge_sigma * noise
        return z_n, noise

    def interpolate(self, x_0: Tensor, x_1: Tensor, t: Tensor) -> Tensor:
        a, b = self.coefficients(t)
        return a * x_0 + b * x_1

    def regression_target(self, x_0: Tensor, x_1: Tensor, t: Tensor) -> Tensor:
        """What the network is trained to predict: velocity (x_1 − x_0; a ε − b x_0 on the ddpm schedule), ε, or x_0."""
        if self.target == "epsilon":
            return x_1
        if self.target == "x0":
            return x_0
        if self.schedule == "flow":
            return x_1 - x_0
        a, b = self.coefficients(t)
        return a * x_1 - b * x_0

    def estimates(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The (x_0, x_1) that ``prediction`` at ``x_t`` implies."""
        a, b = self.coefficients(t)
        if self.target == "velocity":
            if self.schedule == "flow":
                return x_t - b * prediction, x_t + a * prediction
            return a * x_t - b * prediction, b * x_t + a * prediction
        if self.target == "epsilon":
            return (x_t - b * prediction) / a.clamp_min(_MIN_COEFFICIENT), prediction
        return prediction, (x_t - a * prediction) / b.clamp_min(_MIN_COEFFICIENT)

    def start(self, *, z_n: Tensor, noise: Tensor) -> tuple[Tensor, float]:
        """(x at the start of sampling, its t). ``noise`` of zeros gives the deterministic path. S is all ones here."""
        if self.mode == "concat":
            return noise, 1.0
        if self.mode == "bridge":
            return z_n + self.bridge_sigma * noise, 1.0
        t = torch.full((z_n.shape[0],), self.t_start, device=z_n.device)
        return self.interpolate(z_n, noise, t), self.t_start

    def sample(self, predict: Callable[[Tensor, Tensor], Tensor], *, z_n: Tensor, noise: Tensor, steps: int) -> Tensor:
        """x_0 after ``steps`` ≥ 1 equal deterministic steps; ``predict(x_t, t)`` is the network (condition bound)."""
        if steps < 1:
            raise ValueError(f"sampling needs at least one step, not {steps}")
        x, t_now = self.start(z_n=z_n, noise=noise)
        times = torch.linspace(t_now, 0.0, steps + 1, dtype=torch.float64)
        for now, following in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
            t = torch.full((x.shape[0],), now, device=x.device)
            x_0, x_1 = self.estimates(predict(x, t), x, t)
            if following == 0.0:
                return x_0
            x = self.interpolate(x_0, x_1, torch.full_like(t, following))
        raise AssertionError("unreachable: the last time is 0")
