"""Gaussian diffusion in numbered steps: noise schedules, what a network's prediction implies, and DDIM (Song et al. 2021).

x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε for k = 0 … T − 1. `s2ldm_core.diffusion` is the continuous process of S2LDM.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["cosine", "linear", "scaled_linear"]
Target = Literal["epsilon", "x0"]

_MIN_SIGNAL = 1e-2
"""No estimate of x_0 divides by less."""
_COSINE_OFFSET = 0.008
_COSINE_MOST = 0.999


class NoiseSchedule:
    """ᾱ of ``steps`` steps.

    ``cosine``: Nichol and Dhariwal 2021; ``linear``: β from 1e-4 to 0.02 (Ho et al. 2020); ``scaled_linear``: √β linear, β from 0.0015
    to 0.0195 (latent diffusion). Steps are ``(B,)`` long, images ``(B, C, …)``.
    """

    def __init__(self, kind: Kind, *, steps: int = 1000) -> None:
        self.steps = steps
        self._bar = torch.cumprod(1 - _betas(kind, steps), 0)

    def time(self, k: Tensor) -> Tensor:
        """Step → what networks are told, in [0, 1)."""
        return k.float() / self.steps

    def coefficients(self, k: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ_k and √(1 − ᾱ_k), shaped to broadcast over ``like``."""
        bar = self._bar.to(k.device)[k].float().view(-1, *([1] * (like.dim() - 1)))
        return bar.sqrt(), (1 - bar).sqrt()

    def noised(self, x_0: Tensor, noise: Tensor, k: Tensor) -> Tensor:
        """x_k."""
        a, b = self.coefficients(k, x_0)
        return a * x_0 + b * noise

    def estimates(self, prediction: Tensor, x: Tensor, k: Tensor, *, target: Target) -> tuple[Tensor, Tensor]:
        """The (x_0, ε) that ``prediction`` of ``target`` at ``x`` implies."""
        a, b = self.coefficients(k, x)
        if target == "epsilon":
            return (x - b * prediction) / a.clamp_min(_MIN_SIGNAL), prediction
        return prediction, (x - a * prediction) / b

    def ddim(
        self,
        predict: Callable[[Tensor, Tensor], Tensor],
        x: Tensor,
        *,
        target: Target,
        steps: int,
        start: int | None = None,
        eta: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x_0 from ``x`` at step ``start`` (``None``: T − 1) in ``steps`` evaluations of ``predict(x_k, k)``, at most ``start + 1``.

        ``eta`` 0: deterministic; 1: as noisy as DDPM. The last evaluation's x_0 is the answer.
        """
        first = self.steps - 1 if start is None else start
        times = torch.linspace(first, -1, min(steps, first + 1) + 1, dtype=torch.float64).round().long().tolist()
        for now, following in pairwise(times):
            k = torch.full((x.shape[0],), now, device=x.device)
            x_0, noise = self.estimates(predict(x, k).float(), x, k, target=target)
            if following < 0:
                return x_0
            bar, bar_next = float(self._bar[now]), float(self._bar[following])
            sigma = eta * math.sqrt((1 - bar_next) / (1 - bar) * (1 - bar / bar_next))
            x = math.sqrt(bar_next) * x_0 + math.sqrt(1 - bar_next - sigma**2) * noise
            if sigma:
                x = x + sigma * torch.randn(x.shape, generator=generator).to(x.device)
        raise ValueError(f"sampling needs at least one step, not {steps}")


def _betas(kind: Kind, steps: int) -> Tensor:
    if kind == "linear":
        return torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
    if kind == "scaled_linear":
        return torch.linspace(0.0015**0.5, 0.0195**0.5, steps, dtype=torch.float64) ** 2
    place = (torch.arange(steps + 1, dtype=torch.float64) / steps + _COSINE_OFFSET) / (1 + _COSINE_OFFSET)
    bar = torch.cos(place * math.pi / 2) ** 2
    return (1 - bar[1:] / bar[:-1]).clamp(max=_COSINE_MOST)
