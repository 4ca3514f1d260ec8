"""MS-SPADE of ALDM (Kim and Park, WACV 2024): from the source's latent to the target's, one modulation for each target phase."""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["voxel", "instance"]

_EPS = 1e-5
_SLOPE = 0.2


class SwitchedConv(nn.Module):
    """3×3×3 convolution with weights of its own for each phase: all items of a batch in one grouped convolution."""

    def __init__(self, in_channels: int, out_channels: int, *, phases: int) -> None:
        super().__init__()
        convs = [nn.Conv3d(in_channels, out_channels, 3) for _ in range(phases)]
        self.weight = nn.Parameter(torch.stack([conv.weight.detach() for conv in convs]))
        self.bias = nn.Parameter(torch.zeros(phases, out_channels))

    def forward(self, x: Tensor, phase: Tensor) -> Tensor:
        """``x`` ``(B, C, d, h, w)``, ``phase`` ``(B,)`` long."""
        items = x.shape[0]
        weight = self.weight[phase].flatten(0, 1)
        out = F.conv3d(x.reshape(1, -1, *x.shape[2:]), weight, self.bias[phase].flatten(), padding=1, groups=items)
        return out.view(items, -1, *x.shape[2:])


class SelfModulation(nn.Module):
    """norm(x) · (1 + γ) + β, γ and β computed from x itself by two convolutions of the phase; the norm has no parameters.

    ``instance`` norm, the paper's, looks at the whole crop, which training and translation do not share; ``voxel`` at one voxel's channels.
    """

    def __init__(self, channels: int, *, hidden: int, phases: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm
        self.shared = SwitchedConv(channels, hidden, phases=phases)
        self.modulation = SwitchedConv(hidden, 2 * channels, phases=phases)

    def forward(self, x: Tensor, phase: Tensor) -> Tensor:
        gamma, beta = self.modulation(F.relu(self.shared(x, phase)), phase).chunk(2, dim=1)
        return normalised(x, self.norm) * (1 + gamma) + beta


class _Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, hidden: int, phases: int, norm: Norm) -> None:
        super().__init__()
        self.modulation1 = SelfModulation(in_channels, hidden=hidden, phases=phases, norm=norm)
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.modulation2 = SelfModulation(out_channels, hidden=hidden, phases=phases, norm=norm)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, phase: Tensor) -> Tensor:
        y = self.conv1(F.leaky_relu(self.modulation1(x, phase), _SLOPE))
        y = self.conv2(F.leaky_relu(self.modulation2(y, phase), _SLOPE))
        return y + self.skip(x)


class MultiSwitchableSpade(nn.Module):
    """Latent of the source and a phase → latent of the target, the same shape.

    The paper's blocks; that their output is added to the source's latent, and starts as nothing, is ours: the untrained translator
    changes nothing.
    """

    def __init__(self, *, latent: int, channels: tuple[int, ...], hidden: int, phases: int, norm: Norm) -> None:
        super().__init__()
        widths = (latent, *channels)
        self.blocks = nn.ModuleList(_Block(a, b, hidden=hidden, phases=phases, norm=norm) for a, b in pairwise(widths))
        self.out = nn.Conv3d(widths[-1], latent, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, z: Tensor, phase: Tensor) -> Tensor:
        h = z
        for block in self.blocks:
            h = block(h, phase)
        return z + self.out(F.leaky_relu(h, _SLOPE))


class PhaseJudge(nn.Module):
    """Which phase a latent is of, at each of its voxels, or that it was made up, which is the last class: ``(B, phases + 1, d, h, w)``.

    In the released code the made-up ones share index 0 with the first class.
    """

    def __init__(self, *, latent: int, phases: int, channels: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(latent, channels, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv3d(channels, channels, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
        )
        self.judge = nn.Conv3d(channels, phases + 1, 1)
        self.made_up = phases

    def forward(self, z: Tensor) -> Tensor:
        return self.judge(self.layers(z)).float()

    def loss(self, z: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of every voxel with its item's ``label`` ``(B,)``."""
        logits = self(z)
        return F.cross_entropy(logits, label.view(-1, 1, 1, 1).expand(-1, *logits.shape[2:]))


def normalised(x: Tensor, norm: Norm) -> Tensor:
    """Mean 0 and variance 1 over the channels of each voxel, or over the voxels of each channel."""
    dims = (1,) if norm == "voxel" else (2, 3, 4)
    mean, variance = x.mean(dims, keepdim=True), x.var(dims, keepdim=True, correction=0)
    return (x - mean) / (variance + _EPS).sqrt()
