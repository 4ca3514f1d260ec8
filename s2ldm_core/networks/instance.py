"""Image-to-image networks with instance norm, as adversarial systems use them: a residual U-Net and CycleGAN's ResNet.

Instance norm looks at the whole tile, so their tiles are blended. Each phase has a scale and a shift of its own for every normalised
channel (conditional instance norm, Dumoulin et al. 2017): one network for all phases.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.blocks import Downsample, Triple, Upsample

_FIRST: Triple = (3, 7, 7)
"""Kernel of the ResNet's first and last convolution: 7 in the plane as in 2-D, 3 through the thicker slices."""
_PADDING: Triple = (1, 3, 3)


class PhaseNorm(nn.Module):
    """Instance norm of ``(B, C, D, H, W)``, then the scale and shift of the phase; at the start plain instance norm."""

    def __init__(self, channels: int, phases: int) -> None:
        super().__init__()
        self.affine = nn.Embedding(phases, 2 * channels)
        nn.init.zeros_(self.affine.weight)

    def forward(self, x: Tensor, phase: Tensor) -> Tensor:
        scale, shift = self.affine(phase).to(x.dtype)[:, :, None, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, F.instance_norm(x), 1 + scale)


class InstanceBlock(nn.Module):
    """x + norm(conv(ReLU(norm(conv(x))))), 3×3×3."""

    def __init__(self, in_channels: int, out_channels: int, phases: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, padding=1, padding_mode="replicate")
        self.norm1 = PhaseNorm(out_channels, phases)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1, padding_mode="replicate")
        self.norm2 = PhaseNorm(out_channels, phases)
        self.skip = nn.Conv3d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor, phase: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x), phase))
        return self.norm2(self.conv2(y), phase) + (x if self.skip is None else self.skip(x))


class InstanceUNet(nn.Module):
    """Residual 3-D U-Net ``(B, 1, D, H, W)`` → the same shape, 0 at the start.

    ``channels`` of each level; the first ``in_plane`` reductions leave the slices apart; ``blocks`` a level and side. Sizes must be
    multiples of `multiple_of`.
    """

    def __init__(self, *, channels: tuple[int, ...], in_plane: int, blocks: int, phases: int) -> None:
        super().__init__()
        strides = _strides(len(channels) - 1, in_plane)
        self.multiple_of = _product(strides)
        self.inp = nn.Conv3d(1, channels[0], 3, padding=1, padding_mode="replicate")
        self.encode, self.down = nn.ModuleList(), nn.ModuleList()
        self.up, self.decode = nn.ModuleList(), nn.ModuleList()
        for width, deeper, stride in zip(channels, channels[1:], strides, strict=False):
            self.encode.append(nn.ModuleList(InstanceBlock(width, width, phases) for _ in range(blocks)))
            self.down.append(Downsample(width, deeper, stride))
            self.up.append(Upsample(deeper, width, stride))
            self.decode.append(
                nn.ModuleList(InstanceBlock(width if i else 2 * width, width, phases) for i in range(blocks))
            )
        self.middle = nn.ModuleList(InstanceBlock(channels[-1], channels[-1], phases) for _ in range(2 * blocks))
        self.out = _zero(nn.Conv3d(channels[0], 1, 1))

    def forward(
        self, x: Tensor, phase: Tensor, *, dropped: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """``phase`` ``(B,)`` long; ``dropped``: share of the values left out after every step up but the last, drawn from ``generator``."""
        h = self.inp(x)
        skips = []
        for blocks, down in zip(self.encode, self.down, strict=True):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, phase)
            skips.append(h)
            h = down(h)
        with torch.autocast(h.device.type, enabled=False):  # fp32: see `s2ldm_core.networks.denoiser.Denoiser`
            h = h.float()
            for block in self.middle:
                h = block(h, phase)
        for blocks, up in zip(reversed(self.decode), reversed(self.up), strict=True):
            h = up(h)
            if dropped and len(skips) > 1:
                h = dropout(h, dropped, generator)
            h = torch.cat([h, skips.pop()], dim=1)
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, phase)
        return _in_fp32(self.out, F.relu(h))


class ResNetGenerator(nn.Module):
    """CycleGAN's generator (Zhu et al. 2017; Johnson et al. 2016) in 3-D: ``(B, 1, D, H, W)`` → the same shape, of any range.

    ``channels`` of the first convolution and after each reduction, the first ``in_plane`` of which leave the slices apart; ``blocks``
    residual blocks in between; ``zero``: 0 at the start. Edges are replicated where the 2-D network reflects them, so that a thin stack
    needs no minimum.
    """

    def __init__(self, *, channels: tuple[int, ...], in_plane: int, blocks: int, phases: int, zero: bool) -> None:
        super().__init__()
        strides = _strides(len(channels) - 1, in_plane)
        self.multiple_of = _product(strides)
        self.inp = nn.Conv3d(1, channels[0], _FIRST, padding=_PADDING, padding_mode="replicate")
        self.norm = PhaseNorm(channels[0], phases)
        self.down, self.down_norms = nn.ModuleList(), nn.ModuleList()
        self.up, self.up_norms = nn.ModuleList(), nn.ModuleList()
        for width, deeper, stride in zip(channels, channels[1:], strides, strict=False):
            self.down.append(nn.Conv3d(width, deeper, 3, stride=stride, padding=1))
            self.down_norms.append(PhaseNorm(deeper, phases))
            more = (stride[0] - 1, stride[1] - 1, stride[2] - 1)
            self.up.append(nn.ConvTranspose3d(deeper, width, 3, stride=stride, padding=1, output_padding=more))
            self.up_norms.append(PhaseNorm(width, phases))
        self.blocks = nn.ModuleList(InstanceBlock(channels[-1], channels[-1], phases) for _ in range(blocks))
        out = nn.Conv3d(channels[0], 1, _FIRST, padding=_PADDING, padding_mode="replicate")
        self.out = _zero(out) if zero else out

    def forward(self, x: Tensor, phase: Tensor) -> Tensor:
        h = F.relu(self.norm(self.inp(x), phase))
        for down, norm in zip(self.down, self.down_norms, strict=True):
            h = F.relu(norm(down(h), phase))
        for block in self.blocks:
            h = block(h, phase)
        for up, norm in zip(reversed(self.up), reversed(self.up_norms), strict=True):
            h = F.relu(norm(up(h), phase))
        return _in_fp32(self.out, h)


def dropout(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """``x`` with that share of its values 0 and the others larger by 1 / (1 − share), whether or not a module is trained."""
    kept = torch.rand(x.shape, generator=generator).to(x.device) >= share
    return x * kept / (1 - share)


def _strides(count: int, in_plane: int) -> tuple[Triple, ...]:
    return tuple((1, 2, 2) if i < in_plane else (2, 2, 2) for i in range(count))


def _product(strides: tuple[Triple, ...]) -> Triple:
    through = 1
    for stride in strides:
        through *= stride[0]
    return through, 2 ** len(strides), 2 ** len(strides)


def _zero(conv: nn.Conv3d) -> nn.Conv3d:
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _in_fp32(conv: nn.Module, x: Tensor) -> Tensor:
    """With one output channel, oneDNN's bf16 weight gradients were now and then not finite (PyTorch 2.13, CPU)."""
    with torch.autocast(x.device.type, enabled=False):
        return conv(x.float())
