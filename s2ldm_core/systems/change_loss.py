"""What a predicted contrast-enhanced image is held to: the voxels, the edges, and the mean inside whole organs.

Every term leaves out what the target does not show (``Batch.valid``): where a registration failed or a field of view ended, the true
change is not known, and a loss there would teach "no change".
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from torch import Tensor

from s2ldm_core.errors import ExtensionError
from s2ldm_core.extensions import build_extension
from s2ldm_core.frequency import gradient_loss
from s2ldm_core.organ_bias import false_change, organ_bias
from s2ldm_core.systems.batch import Batch

GROUP: Final = "s2ldm.losses"
"""Entry point group in which an installed package declares losses: called with its options, it gives a function of the image
``(B, 1, D, H, W)`` in window units and the `Batch` that gives a scalar."""
TRAINING: Final = {"training": True}
"""Context of validation where losses of other packages are looked up; a trained package is used without them."""


class FurtherLoss(BaseModel):
    """A loss that an installed package offers as an entry point of `GROUP`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    weight: float = Field(gt=0)
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _makes(self, info: ValidationInfo) -> Self:
        if info.context == TRAINING:
            try:
                self.function()
            except ExtensionError as error:
                raise ValueError(f"{error.sentence} {error.remedy}") from error
        return self

    def function(self) -> Callable[[Tensor, Batch], Tensor]:
        """``ExtensionError`` where no installed package offers it."""
        return _further(self.name, json.dumps(self.options, sort_keys=True))


@cache
def _further(name: str, options: str) -> Callable[[Tensor, Batch], Tensor]:
    return build_extension(GROUP, name, json.loads(options))


class ChangeLossConfig(BaseModel):
    """Weights of the terms; all errors in window units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rec_l2: float = Field(0.0, ge=0)
    """Mean squared error beside the absolute one: the conditional mean, where L1 alone learns the median and under-enhances."""
    enhancement: float = Field(0.0, ge=0)
    """Extra weight of voxels that enhance, growing with the true change up to `enhancement_full`: vessels are few voxels."""
    enhancement_full: float = Field(2 / 7, gt=0)
    """Change (window units) from which the extra weight is whole: 100 HU in [-200, 500]."""
    organ_bias: float = Field(0.0, ge=0)
    """Weight of the squared mean error inside each organ of a crop, where the data know the organs: enhancement is read as a mean inside an
    organ, and the voxelwise terms alone pull it towards the surroundings of small vessels."""
    false_change: float = Field(0.0, ge=0)
    """Weight of the same of the organs alone that do not enhance: what is painted there is one of the many small errors to the other terms,
    and to a reader a lesion."""
    false_change_most: float = Field(2 / 70, ge=0)
    """Mean true change (window units), either way, up to which an organ does not enhance: 10 HU in [-200, 500]."""
    organ_voxels: int = Field(64, ge=1)
    """Fewest voxels inside an organ (off its outline) in a crop from which its mean counts."""
    further: tuple[FurtherLoss, ...] = ()
    """Losses of other packages."""


L1 = ChangeLossConfig()
"""Mean absolute error alone."""


def voxel_error(
    image: Tensor, target: Tensor, *, change: Tensor, valid: Tensor | None, loss: ChangeLossConfig
) -> Tensor:
    """Mean of L1 + rec_l2 · L2, each voxel weighted by 1 + enhancement · min(|change| / enhancement_full, 1), or by 0 where not valid.

    Over all voxels: a crop of which little was measured counts little, and its few voxels no more than others. Scalar.

    ``image``, ``target`` and ``change`` ``(B, 1, D, H, W)``; ``valid`` the same, bool, or ``None``: everywhere.
    """
    error = image - target
    penalty = error.abs() + loss.rec_l2 * error.square() if loss.rec_l2 else error.abs()
    if loss.enhancement:
        penalty = penalty * (1 + loss.enhancement * (change.abs() / loss.enhancement_full).clamp(max=1))
    return (penalty if valid is None else torch.where(valid, penalty, 0.0)).mean()


def item_errors(error: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of ``error`` ``(B, 1, D, H, W)`` of each item over all its voxels, those not ``valid`` being 0: ``(B,)``."""
    return (error if valid is None else torch.where(valid, error, 0.0)).mean(dim=(1, 2, 3, 4))


def change_loss(
    image: Tensor, batch: Batch, loss: ChangeLossConfig, *, gradient: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of ``image`` ``(B, 1, D, H, W)`` against the batch's target, and its parts: ``rec``, and where they have weight ``organ_bias``,
    ``false_change``, ``frequency`` (``gradient`` times the error of the first differences) and each further one by its name."""
    parts = {"rec": voxel_error(image, batch.target, change=batch.change, valid=batch.valid, loss=loss)}
    total = parts["rec"]
    if batch.organs is not None:
        seen = batch.organs if batch.valid is None else torch.where(batch.valid, batch.organs, 0)
        error = image - batch.target
        if loss.organ_bias:
            parts["organ_bias"] = organ_bias(error, seen, fewest=loss.organ_voxels)
            total = total + loss.organ_bias * parts["organ_bias"]
        if loss.false_change:
            parts["false_change"] = false_change(
                error, batch.change, seen, most=loss.false_change_most, fewest=loss.organ_voxels
            )
            total = total + loss.false_change * parts["false_change"]
    if gradient:
        parts["frequency"] = gradient * gradient_loss(image, batch.target, valid=batch.valid)
        total = total + parts["frequency"]
    for one in loss.further:
        parts[one.name] = one.function()(image, batch)
        total = total + one.weight * parts[one.name]
    return total, parts


def error_of_change(
    change: Tensor, batch: Batch, loss: ChangeLossConfig | None, *, gradient: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """L1 of a predicted ``change`` ``(B, 1, D, H, W)`` (``loss`` ``None``), or `change_loss` of the image with it; parts for the log."""
    if loss is None:
        error = voxel_error(change, batch.change, change=batch.change, valid=batch.valid, loss=L1)
        return error, {"l1": error.detach()}
    total, parts = change_loss(batch.source + change, batch, loss, gradient=gradient)
    return total, {name: part.detach() for name, part in parts.items()}
