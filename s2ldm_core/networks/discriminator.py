"""The patch discriminators of adversarial losses, and the hinge losses of both sides (Lim and Ye 2017)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017) in 3-D: ``(B, C, D, H, W)`` → logits, one for each patch of some 20 to 70 voxels a side.

    With instance norm: at batch 1 a batch norm behaves differently in training and evaluation. The same numbers as MONAI's network of that
    name, which takes seconds to import and gives its intermediate features as well. ``layers=2`` needs at least 16 voxels along every axis.

    The first ``in_plane`` convolutions leave the slices apart (kernel 3, stride 1 through-plane), since slices are thicker than pixels.
    ``outputs`` logits for each patch.
    """

    def __init__(
        self, *, in_channels: int = 1, channels: int = 32, layers: int = 2, in_plane: int = 0, outputs: int = 1
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = [
            nn.Conv3d(in_channels, channels, *_reach(0, in_plane), padding=1),
            nn.LeakyReLU(0.2),
        ]
        for level in range(layers):
            kernel, stride = _reach(level + 1, in_plane)
            blocks += [
                nn.Conv3d(channels, 2 * channels, kernel, 1 if level == layers - 1 else stride, padding=1, bias=False),
                nn.InstanceNorm3d(2 * channels),
                nn.LeakyReLU(0.2),
            ]
            channels *= 2
        self.features = nn.Sequential(*blocks)
        self.judge = nn.Conv3d(channels, outputs, 4, padding=1)
        for module in (*blocks, self.judge):
            if isinstance(module, nn.Conv3d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        # In fp32: with one output channel, oneDNN's bf16 weight gradients were now and then not finite (PyTorch 2.13, CPU).
        with torch.autocast(features.device.type, enabled=False):
            return self.judge(features.float())


class PhaseDiscriminator(nn.Module):
    """A `PatchDiscriminator` with a head for each phase: a venous image where an arterial one was asked for deceives nobody."""

    def __init__(self, *, phases: int, in_channels: int, channels: int, layers: int, in_plane: int) -> None:
        super().__init__()
        self.patches = PatchDiscriminator(
            in_channels=in_channels, channels=channels, layers=layers, in_plane=in_plane, outputs=phases
        )

    def forward(self, x: Tensor, phase: Tensor) -> Tensor:
        """``(B, C, D, H, W)`` and ``(B,)`` long → ``(B, 1, d, h, w)`` logits of the patches for that phase."""
        logits = self.patches(x)
        return logits[torch.arange(len(phase), device=phase.device), phase][:, None]


def hinge(*, real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator's loss of its logits: ½ (mean max(0, 1 − D(real)) + mean max(0, 1 + D(fake)))."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def deceived(fake: Tensor) -> Tensor:
    """Generator's loss: −mean D(fake)."""
    return -fake.mean()


def _reach(number: int, in_plane: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Kernel and stride of convolution ``number``."""
    return ((3, 4, 4), (1, 2, 2)) if number < in_plane else ((4, 4, 4), (2, 2, 2))
