"""A head that names tissues from a decoder's features: made to be thrown away.

What it learns stays in the features: a network that tells an artery from the oesophagus beside it paints only one of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.autoencoder import STEM
from s2ldm_core.tissue_groups import GROUPS, UNNAMED, group_table

_COMMON = ("fat", "muscle", "bone", "lung")
_COMMON_WEIGHT = 0.2
"""Most of a body is one of these; together they would outvote the organs."""


class Segmenter(nn.Module):
    """Loss of naming the group of tissues of every voxel of the stem grid."""

    table: Tensor
    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = nn.Conv3d(channels, len(GROUPS), (1, 3, 3), padding=(0, 1, 1))
        self.register_buffer("table", group_table(), persistent=False)
        weight = torch.tensor([_COMMON_WEIGHT if name in _COMMON else 1.0 for name in GROUPS])
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, seen: Tensor, organs: Tensor) -> Tensor:
        """``seen`` ``(B, C, D, H/2, W/2)``, ``organs`` ``(B, 1, D, H, W)`` uint8 labels of the phantom → cross entropy, scalar.

        Voxels of no group count for nothing; 0 where no voxel has one.
        """
        wanted = self.table[organs[:, 0, :: STEM[0], :: STEM[1], :: STEM[2]].long()]
        total = F.cross_entropy(self.head(seen).float(), wanted, self.weight, ignore_index=UNNAMED, reduction="sum")
        counted = torch.where(wanted == UNNAMED, 0.0, self.weight[wanted.clamp_min(0)]).sum()
        return total / counted.clamp_min(1.0)
