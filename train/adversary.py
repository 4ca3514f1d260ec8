"""Patch-adversarial term of L_auto: MONAI's patch discriminator with a hinge loss of our own.

MONAI's ``PatchAdversarialLoss`` puts an activation on the logits first and clips the generator's term; the hinge below is the
textbook one (Lim and Ye 2017).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchAdversary:
    """Generator side as a callable (see :class:`s2ldm_core.systems.base.Adversary`), discriminator step as :meth:`step`."""

    def __init__(self, *, lr: float, channels: int = 32, layers: int = 2, device: torch.device | str = "cpu") -> None:
        from monai.networks.nets import PatchDiscriminator  # MONAI takes seconds to import

        # Instance norm: at batch 1 the default batch norm behaves differently in training and evaluation.
        self.network: nn.Module = PatchDiscriminator(
            spatial_dims=3, channels=channels, in_channels=1, num_layers_d=layers, norm="INSTANCE"
        ).to(device)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=lr, betas=(0.5, 0.9))
        self._seen: tuple[Tensor, Tensor] | None = None

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        self.network.requires_grad_(False)
        logits = self.network(fake)[-1]
        self.network.requires_grad_(True)
        self._seen = (fake.detach(), real.detach())
        return -logits.float().mean()

    def step(self) -> Tensor | None:
        """One discriminator update on what the generator side saw last; its loss, or ``None`` before the term has started."""
        if self._seen is None:
            return None
        fake, real = self._seen
        self._seen = None
        loss = hinge(real=self.network(real)[-1].float(), fake=self.network(fake)[-1].float())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.detach()


def hinge(*, real: Tensor, fake: Tensor) -> Tensor:
    """½ (mean max(0, 1 − D(real)) + mean max(0, 1 + D(fake)))."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
