"""Losses of whole organs: enhancement is read as a mean inside an organ, is even there, and is none where nothing enhances."""

from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

_LABELS = 256
_NEIGHBOURS = (1, 3, 3)
_PATCH = (3, 5, 5)
"""Voxels whose mean unevenness is seen in: little is left of noise there, a blotch stays."""
_STILL = 2 / 70
"""Mean change (window units) up to which an organ does not enhance: 10 HU in [-200, 500]."""


class _Organs(NamedTuple):
    """Which voxels inside which organs of a batch of crops a loss sees."""

    index: Tensor
    """Crop and label of every voxel, flat, as one number."""
    counts: Tensor
    """Voxels of each organ of each crop, ``(B, 256)``."""
    known: Tensor
    """Organs that count, ``(B, 256)`` bool: label 0 and those of too few voxels do not."""

    @classmethod
    def inside(cls, organs: Tensor, size: tuple[int, int, int], *, fewest: int) -> Self:
        """Voxels around which ``size`` voxels bear the same label: off the outlines, which are partial volume."""
        crops = organs.shape[0]
        offset = _LABELS * torch.arange(crops, device=organs.device).view(-1, 1, 1, 1, 1)
        index = (torch.where(_surrounded(organs, size), organs, 0).long() + offset).flatten()
        counts = torch.bincount(index, minlength=_LABELS * crops).view(crops, _LABELS)
        known = counts >= fewest
        known[:, 0] = False
        return cls(index, counts, known)

    def mean(self, values: Tensor) -> Tensor:
        """Of ``values`` ``(B, 1, D, H, W)`` in each organ, ``(B, 256)`` float32."""
        sums = values.new_zeros(self.counts.numel(), dtype=torch.float32)
        return sums.index_add(0, self.index, values.float().flatten()).view_as(self.counts) / self.counts.clamp_min(1)

    def over(self, losses: Tensor, which: Tensor | None = None) -> Tensor:
        """Mean over crops of the mean of ``losses`` ``(B, 256)`` over their organs; a crop without organs counts 0. Scalar."""
        which = self.known if which is None else self.known & which
        return (torch.where(which, losses, 0.0).sum(dim=1) / which.sum(dim=1).clamp_min(1)).mean()


def organ_bias(error: Tensor, organs: Tensor, *, fewest: int = 1) -> Tensor:
    """Squared mean error inside an organ, mean over the organs of each crop and over crops.

    Inside: voxels whose eight neighbours in the slice belong to the organ too. An outline is partial volume, and branches of a vessel
    that are all outline cannot be seen without contrast: counted, they would make the network overshoot in the trunk to mend the mean.

    ``error`` and ``organs`` ``(B, 1, D, H, W)``; label 0 and organs of fewer than ``fewest`` such voxels in their crop are left out.
    """
    inside = _Organs.inside(organs, _NEIGHBOURS, fewest=fewest)
    return inside.over(inside.mean(error).square())


def false_change(error: Tensor, change: Tensor, organs: Tensor, *, fewest: int = 1) -> Tensor:
    """As `organ_bias`, of organs that do not enhance alone: their mean true ``change`` ``(B, 1, D, H, W)`` is at most 10 HU."""
    inside = _Organs.inside(organs, _NEIGHBOURS, fewest=fewest)
    return inside.over(inside.mean(error).square(), inside.mean(change).abs() <= _STILL)


def unevenness(error: Tensor, organs: Tensor, *, fewest: int = 1) -> Tensor:
    """Variance inside an organ of the error's mean over 3 × 5 × 5 voxels, mean over the organs of each crop and over crops.

    Inside: those voxels belong to the organ all.
    """
    inside = _Organs.inside(organs, _PATCH, fewest=fewest)
    smooth = F.avg_pool3d(error.float(), _PATCH, stride=1, padding=[n // 2 for n in _PATCH], count_include_pad=False)
    return inside.over(inside.mean(smooth.square()) - inside.mean(smooth).square())


def _surrounded(organs: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Where the largest and the smallest label of the ``size`` voxels around are the same; beyond the crop nothing is known to differ."""
    labels = organs.float()

    def largest(values: Tensor) -> Tensor:
        return F.max_pool3d(values, size, stride=1, padding=[n // 2 for n in size])

    return largest(labels) == -largest(-labels)
