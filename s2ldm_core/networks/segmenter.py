"""Naming tissues while a network is trained: made to be thrown away.

What a network learns when it names them stays in its features: one that tells an artery from the oesophagus beside it paints only one of
them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.autoencoder import STEM
from s2ldm_core.networks.blocks import space_to_depth, with_detail
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.tissue_groups import GROUPS, UNNAMED, group_table

_COMMON = ("fat", "muscle", "bone", "lung")
_COMMON_WEIGHT = 0.2
"""Most of a body is one of these; together they would outvote the organs."""
_EMBEDDING = 16
"""Of a network that is told nothing: the denoiser's modulation is then a constant that it learns."""


class Naming(nn.Module):
    """Cross entropy of the groups of tissues (`s2ldm_core.tissue_groups`) on the stem grid."""

    table: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", group_table(), persistent=False)
        weight = torch.tensor([_COMMON_WEIGHT if name in _COMMON else 1.0 for name in GROUPS])
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, organs: Tensor) -> Tensor:
        """``logits`` ``(B, groups, D, H/2, W/2)``, ``organs`` ``(B, 1, D, H, W)`` uint8 labels of the phantom → cross entropy, scalar.

        Voxels of no group count for nothing; 0 where no voxel has one.
        """
        wanted = self.table[organs[:, 0, :: STEM[0], :: STEM[1], :: STEM[2]].long()]
        total = F.cross_entropy(logits.float(), wanted, self.weight, ignore_index=UNNAMED, reduction="sum")
        counted = torch.where(wanted == UNNAMED, 0.0, self.weight[wanted.clamp_min(0)]).sum()
        return total / counted.clamp_min(1.0)


class Segmenter(nn.Module):
    """A head that names the tissues of every voxel of the stem grid from a decoder's features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = nn.Conv3d(channels, len(GROUPS), (1, 3, 3), padding=(0, 1, 1))
        self.naming = Naming()

    def forward(self, seen: Tensor, organs: Tensor) -> Tensor:
        """Loss of ``seen`` ``(B, C, D, H/2, W/2)``; ``organs`` as in `Naming`."""
        loss: Tensor = self.naming(self.head(seen), organs)
        return loss


class TissueNetwork(nn.Module):
    """Names the tissues of an image of any phase, and compares two images by what it sees in them on the way.

    The idea of IMPACT-Synth (SynthRAD2025): an answer that has the right HU and blurred borders is far from the truth in the features of a
    network that segments. All images ``(B, 1, D, H, W)`` in window units, sizes multiples of `STEM` doubled at every level but the first.
    """

    def __init__(self, *, channels: tuple[int, ...], detail_window: tuple[float, float] | None) -> None:
        super().__init__()
        self.detail_window = detail_window
        images = 1 if detail_window is None else 2
        self.core = Denoiser(
            in_channels=images * STEM[0] * STEM[1] * STEM[2],
            out_channels=len(GROUPS),
            channels=channels,
            phases=1,
            embedding=_EMBEDDING,
            time=False,
        )
        self.naming = Naming()

    def forward(self, image: Tensor, organs: Tensor) -> Tensor:
        """Loss of naming; ``organs`` as in `Naming`."""
        loss: Tensor = self.naming(self.core(self._folded(image), t=None, phase=self._phase(image)), organs)
        return loss

    def distance(self, image: Tensor, target: Tensor, *, valid: Tensor | None) -> Tensor:
        """Mean squared distance of unit-length features, mean over the levels; voxels whose centre is not ``valid`` are 0. Scalar.

        Only ``image`` gets a gradient.
        """
        with torch.no_grad():
            wanted = self._features(target)
        each = []
        for own, other in zip(self._features(image), wanted, strict=True):
            error = (F.normalize(own.float(), dim=1) - F.normalize(other.float(), dim=1)).square().sum(1, keepdim=True)
            if valid is not None:
                error = error * F.interpolate(valid.float(), size=error.shape[2:], mode="nearest-exact")
            each.append(error.mean())
        return torch.stack(each).mean()

    def _features(self, image: Tensor) -> list[Tensor]:
        return self.core.features(self._folded(image), phase=self._phase(image))

    def _folded(self, image: Tensor) -> Tensor:
        return space_to_depth(with_detail(image, self.detail_window), STEM)

    @staticmethod
    def _phase(image: Tensor) -> Tensor:
        return torch.zeros(image.shape[0], dtype=torch.long, device=image.device)
