"""Losses of the mean error inside whole organs: enhancement is read as a mean inside an organ."""

import torch
import torch.nn.functional as F
from torch import Tensor

_LABELS = 256


def organ_bias(error: Tensor, organs: Tensor, *, fewest: int = 1) -> Tensor:
    """Mean over crops of the mean over their organs of the squared mean error inside the organ; a crop without organs counts 0.

    Inside: voxels whose eight neighbours in the slice belong to the organ too. An outline is partial volume, and branches of a vessel
    that are all outline cannot be seen without contrast: counted, they would make the network overshoot in the trunk to mend the mean.

    ``error`` and ``organs`` ``(B, 1, D, H, W)``; label 0 and organs of fewer than ``fewest`` such voxels in their crop are left out.
    """
    (mean,), known = _means_inside((error,), organs, fewest=fewest)
    return _over_organs(mean.square(), known)


def false_change(error: Tensor, change: Tensor, organs: Tensor, *, most: float, fewest: int = 1) -> Tensor:
    """As `organ_bias`, of the organs alone that do not enhance: those whose mean true ``change`` ``(B, 1, D, H, W)`` is at most ``most``,
    either way, in the change's units."""
    (mean, true), known = _means_inside((error, change), organs, fewest=fewest)
    return _over_organs(mean.square(), known & (true.abs() <= most))


def _means_inside(images: tuple[Tensor, ...], organs: Tensor, *, fewest: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """Each image's mean inside every label of every crop, ``(B, 256)`` float32, and which of these are known, the same, bool."""
    crops = organs.shape[0]
    offset = _LABELS * torch.arange(crops, device=organs.device).view(-1, 1, 1, 1, 1)
    index = (torch.where(_inside(organs), organs, 0).long() + offset).flatten()
    counts = torch.bincount(index, minlength=_LABELS * crops).view(crops, _LABELS)
    known = counts >= fewest
    known[:, 0] = False

    def mean(image: Tensor) -> Tensor:
        sums = image.new_zeros(_LABELS * crops, dtype=torch.float32).index_add(0, index, image.float().flatten())
        return sums.view(crops, _LABELS) / counts.clamp_min(1)

    return tuple(mean(image) for image in images), known


def _over_organs(losses: Tensor, which: Tensor) -> Tensor:
    """Mean over crops of the mean over their organs; both ``(B, 256)``."""
    return (torch.where(which, losses, 0.0).sum(dim=1) / which.sum(dim=1).clamp_min(1)).mean()


def _inside(organs: Tensor) -> Tensor:
    """Where the largest and the smallest label of the 3 × 3 voxels around are the same; beyond the crop nothing is known to differ."""
    labels = organs.float()

    def largest(values: Tensor) -> Tensor:
        return F.max_pool3d(values, (1, 3, 3), stride=1, padding=(0, 1, 1))

    return largest(labels) == -largest(-labels)
