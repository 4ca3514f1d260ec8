"""The registration network of RegGAN: where the voxels of one image lie in another."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Largest = tuple[float, float, float]


class RegistrationNetwork(nn.Module):
    """Two images ``(B, 1, D, H, W)`` → displacement ``(B, 3, D, H, W)`` in voxels, 0 at the start (Kong et al. 2021).

    A U-Net without norm, of any size; the first ``in_plane`` reductions leave the slices apart. Each component stays within ± its
    ``largest``: a network that may move anything anywhere explains away errors of the image.
    """

    def __init__(self, *, channels: tuple[int, ...], in_plane: int, largest: Largest) -> None:
        super().__init__()
        self._largest = largest
        self.inp = nn.Conv3d(2, channels[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (width, deeper) in enumerate(pairwise(channels)):
            stride = (1, 2, 2) if level < in_plane else (2, 2, 2)
            self.down.append(nn.Conv3d(width, deeper, 3, stride=stride, padding=1))
            self.up.append(nn.Conv3d(width + deeper, width, 3, padding=1))
        self.middle = nn.Conv3d(channels[-1], channels[-1], 3, padding=1)
        self.out = nn.Conv3d(channels[0], 3, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        h = _bent(self.inp(torch.cat([moving, fixed], dim=1)))
        skips = []
        for down in self.down:
            skips.append(h)
            h = _bent(down(h))
        h = h + _bent(self.middle(h))
        for up in reversed(self.up):
            skip = skips.pop()
            h = _bent(up(torch.cat([F.interpolate(h, size=skip.shape[2:]), skip], dim=1)))
        with torch.autocast(h.device.type, enabled=False):
            found = self.out(h.float())
            largest = found.new_tensor(self._largest).view(1, 3, 1, 1, 1)
            return largest * torch.tanh(found / largest)


def _bent(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
