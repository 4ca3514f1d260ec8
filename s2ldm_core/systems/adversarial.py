"""What adversarial systems share: the discriminator's configuration, both sides' losses, and what of an image is judged.

The losses are written out because MONAI 1.6's `PatchAdversarialLoss` bends the logits before least squares and hinge.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from s2ldm_core.networks.discriminator import PatchDiscriminator, PhaseDiscriminator
from s2ldm_core.systems.batch import Batch

BETAS = (0.5, 0.999)
"""Adam's in the papers of this family, both sides; their players set weight decay to 0, which makes AdamW Adam."""
Criterion = Literal["lsgan", "bce"]
"""Least squares (Mao et al. 2017), or the cross-entropy of the first GAN (Goodfellow et al. 2014)."""


class DiscriminatorConfig(BaseModel):
    """PatchGAN: 3 layers see some 70 voxels a side. Needs 16 slices and 32 rows and columns with these numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(32, ge=1)
    layers: int = Field(3, ge=1)
    in_plane: int = Field(1, ge=0)
    """How many of its convolutions, the first ones, leave the slices apart."""

    def plain(self, *, in_channels: int = 1) -> PatchDiscriminator:
        return PatchDiscriminator(in_channels=in_channels, **self.model_dump())

    def of_phases(self, phases: int, *, in_channels: int = 1) -> PhaseDiscriminator:
        return PhaseDiscriminator(phases=phases, in_channels=in_channels, **self.model_dump())


def told_apart(criterion: Criterion, *, real: Tensor, fake: Tensor, measured: Tensor | None = None) -> Tensor:
    """Discriminator's loss of its logits ``(B, 1, d, h, w)``: half the sum of both sides, as the papers' code has it.

    ``lsgan``: ½ (mean (D(real) − 1)² + mean D(fake)²). ``bce``: ½ (mean −log σ(D(real)) + mean −log(1 − σ(D(fake)))).

    ``measured`` ``(B, 1, D, H, W)`` bool, of the real image: a patch counts by its share of measured voxels.
    """
    return 0.5 * (_held(criterion, real, 1.0, measured) + _held(criterion, fake, 0.0, None))


def deceives(criterion: Criterion, fake: Tensor) -> Tensor:
    """Generator's loss of the logits: mean (D(fake) − 1)², or mean −log σ(D(fake))."""
    return _held(criterion, fake, 1.0, None)


def judged(image: Tensor, batch: Batch) -> Tensor:
    """``image`` where the target of the pair was measured, the target elsewhere: what nobody saw betrays no side."""
    return image if batch.valid is None else torch.where(batch.valid, image, batch.target)


def _held(criterion: Criterion, logits: Tensor, label: float, measured: Tensor | None) -> Tensor:
    logits = logits.float()
    wanted = torch.full_like(logits, label)
    if criterion == "lsgan":
        error = F.mse_loss(logits, wanted, reduction="none")
    else:
        error = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    if measured is None:
        return error.mean()
    d, h, w = error.shape[2:]
    return (error * F.adaptive_avg_pool3d(measured.to(error.dtype), (d, h, w))).mean()
