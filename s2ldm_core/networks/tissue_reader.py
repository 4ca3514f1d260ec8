"""A network that names the tissues of contrast-enhanced images, and the distance of two images in its eyes."""

import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.autoencoder import STEM
from s2ldm_core.networks.segmenter import Segmenter


class TissueReader(nn.Module):
    """Learns on true images beside the network that it judges, as a discriminator does (the idea of IMPACT-Synth, SynthRAD2025, whose
    segmentation networks are given)."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(1, channels, 3, STEM, padding=1), nn.SiLU())
        self.deep = nn.Sequential(
            nn.Conv3d(channels, 2 * channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv3d(2 * channels, 2 * channels, 3, padding=2, dilation=2),
            nn.SiLU(),
        )
        self.names = Segmenter(2 * channels)

    def forward(self, image: Tensor, organs: Tensor) -> Tensor:
        """Cross entropy of naming; shapes as `Segmenter`'s, ``image`` on the grid of ``organs``. Scalar."""
        return self.names(self.deep(self.stem(image)), organs)

    def distance(self, image: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
        """Mean absolute difference of both levels' features, in standard deviations of the target's. Scalar."""
        if valid is not None:
            image = image.where(valid, target)
        total = image.new_zeros(())
        mine, wanted = image, target
        for level in (self.stem, self.deep):
            mine, wanted = level(mine), level(wanted)
            spread = wanted.detach().float().std(dim=(0, 2, 3, 4), keepdim=True).clamp_min(1e-3)
            total = total + F.l1_loss(mine.float() / spread, wanted.detach().float() / spread)
        return total / 2
