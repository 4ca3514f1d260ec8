"""The loss of the mean error inside whole organs: enhancement is read as a mean inside an organ."""

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
    crops = organs.shape[0]
    offset = _LABELS * torch.arange(crops, device=organs.device).view(-1, 1, 1, 1, 1)
    index = (torch.where(_inside(organs), organs, 0).long() + offset).flatten()
    counts = torch.bincount(index, minlength=_LABELS * crops).view(crops, _LABELS)
    sums = (
        error.new_zeros(_LABELS * crops, dtype=torch.float32)
        .index_add(0, index, error.float().flatten())
        .view(crops, _LABELS)
    )
    known = counts >= fewest
    known[:, 0] = False
    squares = torch.where(known, sums / counts.clamp_min(1), 0.0).square()
    return (squares.sum(dim=1) / known.sum(dim=1).clamp_min(1)).mean()


def _inside(organs: Tensor) -> Tensor:
    """Where the largest and the smallest label of the 3 × 3 voxels around are the same; beyond the crop nothing is known to differ."""
    labels = organs.float()

    def largest(values: Tensor) -> Tensor:
        return F.max_pool3d(values, (1, 3, 3), stride=1, padding=(0, 1, 1))

    return largest(labels) == -largest(-labels)
