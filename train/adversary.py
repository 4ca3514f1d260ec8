"""Patch-adversarial term of L_auto: MONAI's patch discriminator with a hinge loss of our own.

MONAI's ``PatchAdversarialLoss`` puts an activation on the logits first and clips the generator's term; the hinge below is the
textbook one (Lim and Ye 2017).
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchAdversary:
    """Generator side as a callable (see `s2ldm_core.systems.base.Adversary`), discriminator step as `step`."""

    def __init__(self, *, lr: float, channels: int = 32, layers: int = 2, device: torch.device | str = "cpu") -> None:
        from monai.networks.nets import PatchDiscriminator  # MONAI takes seconds to import

        # Instance norm: at batch 1 the default batch norm behaves differently in training and evaluation.
        self.network: nn.Module = PatchDiscriminator(
            spatial_dims=3, channels=channels, in_channels=1, num_layers_d=layers, norm="INSTANCE"
        ).to(device)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=lr, betas=(0.5, 0.9))
        self._seen: list[tuple[Tensor, Tensor]] = []

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        self.network.requires_grad_(False)
        logits = self.network(fake)[-1]
        self.network.requires_grad_(True)
        self._seen.append((fake.detach(), real.detach()))
        return -logits.float().mean()

    def step(self, *, mean: Callable[[Tensor], Tensor] | None = None) -> Tensor | None:
        """One discriminator update on what the generator side saw since the last one; its loss, ``None`` before the term has started.

        ``mean`` averages a gradient over processes, whose discriminators so stay equal.
        """
        seen, self._seen = self._seen, []
        if not seen:
            return None
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=seen[0][0].device)
        for fake, real in seen:
            loss = hinge(real=self.network(real)[-1].float(), fake=self.network(fake)[-1].float()) / len(seen)
            loss.backward()
            total += loss.detach()
        if mean is not None:
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    parameter.grad = mean(parameter.grad)
        self.optimiser.step()
        return total

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


def hinge(*, real: Tensor, fake: Tensor) -> Tensor:
    """½ (mean max(0, 1 − D(real)) + mean max(0, 1 + D(fake)))."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
