"""The denoising U-Net of stage 2, on the latent grid."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.blocks import Downsample, ResidualBlock, Triple, Upsample, VoxelNorm

_STRIDE: Triple = (2, 2, 2)


class Denoiser(nn.Module):
    """U-Net ``(B, in, d, h, w) → (B, out, d, h, w)``, modulated by time t ∈ [0, 1] and the phase's class embedding.

    Spatial sizes must be multiples of `stride`; ``halo`` is the receptive radius in input voxels. With ``time=False``
    only the phase modulates (the regression U-Net); with ``phases=0`` no phase does.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: tuple[int, ...],
        phases: int,
        embedding: int = 128,
        blocks: int = 1,
        time: bool = True,
    ) -> None:
        super().__init__()
        levels = len(channels)
        self.stride: Triple = (2 ** (levels - 1),) * 3
        self.halo = _halo(levels, blocks)
        self.embedding = embedding
        self.phase = nn.Embedding(phases, embedding) if phases else None
        self.time = (
            nn.Sequential(nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding)) if time else None
        )
        self.inp = nn.Conv3d(in_channels, channels[0], 1)
        self.encode = nn.ModuleList()
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decode = nn.ModuleList()
        for level, width in enumerate(channels[:-1]):
            self.encode.append(nn.ModuleList(ResidualBlock(width, width, embedding=embedding) for _ in range(blocks)))
            self.down.append(Downsample(width, channels[level + 1], _STRIDE))
            self.up.append(Upsample(channels[level + 1], width, _STRIDE))
            self.decode.append(
                nn.ModuleList(
                    ResidualBlock(2 * width if i == 0 else width, width, embedding=embedding) for i in range(blocks)
                )
            )
        deepest = channels[-1]
        self.middle = nn.ModuleList(ResidualBlock(deepest, deepest, embedding=embedding) for _ in range(2 * blocks))
        self.norm = VoxelNorm(channels[0])
        self.out = nn.Conv3d(channels[0], out_channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *, t: Tensor | None, phase: Tensor, extra: Tensor | None = None) -> Tensor:
        """``t``: ``(B,)`` in [0, 1] (``None`` without time); ``phase``: ``(B,)`` long, index into the system's phases; ``extra``: a
        further condition, ``(B, embedding)``."""
        embedding = F.silu(self._condition(t, phase, extra))
        skips, h = self._encoded(x, embedding)
        for blocks, up in zip(reversed(self.decode), reversed(self.up), strict=True):
            h = torch.cat([up(h), skips.pop()], dim=1)
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, embedding)
        return self.out(F.silu(self.norm(h)))

    def features(self, x: Tensor, *, phase: Tensor) -> list[Tensor]:
        """What it sees on the way down, without time: the last of every level, finest first, and the middle's."""
        skips, middle = self._encoded(x, F.silu(self._condition(None, phase, None)))
        return [*skips, middle]

    def _encoded(self, x: Tensor, embedding: Tensor) -> tuple[list[Tensor], Tensor]:
        h = self.inp(x)
        skips = []
        for blocks, down in zip(self.encode, self.down, strict=True):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, embedding)
            skips.append(h)
            h = down(h)
        # In fp32: at a few voxels a side oneDNN's bf16 weight gradients were wrong by 80 % (PyTorch 2.13, AVX512-BF16).
        with torch.autocast(h.device.type, enabled=False):
            h = h.float()
            for block in self.middle:
                h = block(h, embedding.float())
        return skips, h

    def _condition(self, t: Tensor | None, phase: Tensor, extra: Tensor | None) -> Tensor:
        parts = [] if self.phase is None else [self.phase(phase)]
        if self.time is not None:
            if t is None:
                raise ValueError("this denoiser needs the time t")
            parts.append(self.time(sinusoidal(t, self.embedding).to(self.out.weight.dtype)))
        if extra is not None:
            parts.append(extra)
        return sum(parts[1:], parts[0])


def sinusoidal(t: Tensor, size: int) -> Tensor:
    """Sinusoidal embedding of t ∈ [0, 1] scaled to [0, 1000]: ``(B,)`` → ``(B, size)`` (DDPM, Ho et al. 2020, app. B)."""
    half = size // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = 1000.0 * t.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _halo(levels: int, blocks: int) -> Triple:
    """Radius in input voxels, rounded up to whole strides of the deepest level so that tiles stay aligned."""
    stride = 2 ** (levels - 1)
    halo = []
    for radius in ResidualBlock.radius:
        total = 2 * blocks * radius * stride  # middle
        total += sum(2 * blocks * radius * 2**level for level in range(levels - 1))
        total += stride - 1  # a voxel anywhere in a deepest cell reaches the whole cell
        halo.append(math.ceil(total / stride) * stride)
    return (halo[0], halo[1], halo[2])
