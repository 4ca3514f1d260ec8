"""The syncretic encoder and the CECT decoder of S2LDM (stage 1, arXiv 2406.13977).

Three grids, each axis order (slices, rows, columns): the *model grid* (for instance 3 × 1.5 × 1.5 mm); the *stem grid*, half of it
in-plane, reached by space-to-depth so that no wide convolution runs at full resolution; the *latent grid*, half of that in
all three directions. The latent is therefore reduced by f = (2, 4, 4).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.blocks import (
    Downsample,
    ResidualBlock,
    Triple,
    Upsample,
    VoxelNorm,
    depth_to_space,
    space_to_depth,
    with_detail,
)

STEM: Triple = (1, 2, 2)
LATENT: Triple = (2, 2, 2)
FACTOR: Triple = (2, 4, 4)
"""Model grid voxels per latent voxel, per axis."""


class Features(NamedTuple):
    """What the encoder saw on the stem grid and on the latent grid: ``(B, C0, D, H/2, W/2)``, ``(B, C1, D/2, H/4, W/4)``."""

    stem: Tensor
    latent: Tensor


def block_halo(stem_blocks: int, latent_blocks: int) -> Triple:
    """Receptive radius in latent voxels of ``stem_blocks`` + one 1×3×3 convolution on the stem grid and ``latent_blocks``."""
    radius = ResidualBlock.radius
    z = math.ceil(stem_blocks * radius[0] / LATENT[0]) + latent_blocks * radius[0]
    xy = math.ceil((stem_blocks * radius[1] + 1) / LATENT[1]) + latent_blocks * radius[1]
    return (z, xy, xy)


class Encoder(nn.Module):
    """E: one set of weights for NCCT and CECT ("syncretic"). ``(B, 1, D, H, W)`` in window units → latent and features.

    Spatial sizes must be multiples of `FACTOR`. ``moments`` doubles the output channels for the KL variant.
    ``detail_window`` (low, high in window units) adds the same image in a narrower window as a second input (`with_detail`).
    """

    def __init__(
        self,
        *,
        channels: tuple[int, int],
        blocks: tuple[int, int],
        latent: int,
        moments: bool = False,
        detail_window: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        c0, c1 = channels
        self.halo = block_halo(*blocks)
        self.detail_window = detail_window
        images = 1 if detail_window is None else 2
        self.stem = nn.Conv3d(images * STEM[1] * STEM[2], c0, (1, 3, 3), padding=(0, 1, 1))
        self.stem_blocks = nn.ModuleList(ResidualBlock(c0, c0) for _ in range(blocks[0]))
        self.down = Downsample(c0, c1, LATENT)
        self.latent_blocks = nn.ModuleList(ResidualBlock(c1, c1) for _ in range(blocks[1]))
        self.norm = VoxelNorm(c1)
        self.out = nn.Conv3d(c1, 2 * latent if moments else latent, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Features]:
        h = self.stem(space_to_depth(with_detail(x, self.detail_window), STEM))
        for block in self.stem_blocks:
            h = block(h)
        stem = h
        h = self.down(h)
        for block in self.latent_blocks:
            h = block(h)
        return self.out(F.silu(self.norm(h))), Features(stem, h)


class Decoder(nn.Module):
    """D: latent → image in window units.

    ``source_conditioned`` (our default): ``D(z; x_n) = x_n + head(…)`` with the source's encoder features joined at both
    grids, so that the latent carries only what contrast changes. Plain (the paper): the image comes from the latent alone.
    Returns ``(B, 1, D, H, W)``: the *change* when source-conditioned, the image itself when plain.
    """

    def __init__(
        self, *, channels: tuple[int, int], blocks: tuple[int, int], latent: int, source_conditioned: bool = True
    ) -> None:
        super().__init__()
        c0, c1 = channels
        self.halo = block_halo(*blocks)
        self.source_conditioned = source_conditioned
        extra = (c0, c1) if source_conditioned else (0, 0)
        self.inp = nn.Conv3d(latent + extra[1], c1, 1)
        self.latent_blocks = nn.ModuleList(ResidualBlock(c1, c1) for _ in range(blocks[1]))
        self.up = Upsample(c1, c0, LATENT)
        self.join = nn.Conv3d(c0 + extra[0], c0, 1)
        self.stem_blocks = nn.ModuleList(ResidualBlock(c0, c0) for _ in range(blocks[0]))
        self.norm = VoxelNorm(c0)
        self.head = nn.Conv3d(c0, STEM[1] * STEM[2], (1, 3, 3), padding=(0, 1, 1))
        if source_conditioned:  # the untrained translator is the identity
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, z: Tensor, features: Features | None = None) -> Tensor:
        return self.drawn(self.seen(z, features))

    def drawn(self, seen: Tensor) -> Tensor:
        """What the last layer makes of `seen`: ``(B, 1, D, H, W)``."""
        return depth_to_space(self.head(seen), STEM)

    def seen(self, z: Tensor, features: Features | None = None) -> Tensor:
        """Features on the stem grid ``(B, C0, D, H/2, W/2)``, which the last layer draws from."""
        if self.source_conditioned:
            if features is None:
                raise ValueError("a source-conditioned decoder needs the source's features")
            z = torch.cat([z, features.latent], dim=1)
        h = self.inp(z)
        for block in self.latent_blocks:
            h = block(h)
        h = self.up(h)
        h = self.join(torch.cat([h, features.stem], dim=1) if self.source_conditioned and features is not None else h)
        for block in self.stem_blocks:
            h = block(h)
        return F.silu(self.norm(h))
