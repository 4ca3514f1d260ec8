"""A masked autoencoder on 3-D patches (He et al. 2022), whose encoder represents an image by one vector.

MONAI's ``MaskedAutoEncoderViT`` knows one size of image and takes seconds to import; this one takes any multiple of its patch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.blocks import Triple, space_to_depth

_PERIOD = 1000.0


class PatchEncoder(nn.Module):
    """FE: ``(B, 1, D, H, W)`` → tokens ``(B, N, width)``, one for each patch that is kept, by attention over these alone."""

    def __init__(self, *, patch: Triple, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.patch, self.width = patch, width
        self.embed = nn.Linear(math.prod(patch), width)
        self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """``kept`` ``(B, n)`` long: the patches that are seen; ``None``: all."""
        tokens = self.embed(patches_of(x, self.patch)) + self.places(x)
        if kept is not None:
            tokens = tokens.gather(1, kept[..., None].expand(-1, -1, self.width))
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def represent(self, x: Tensor) -> Tensor:
        """The mean over all patches, ``(B, width)``, fp32."""
        return self(x).float().mean(1)

    def places(self, x: Tensor) -> Tensor:
        """Sinusoids of each patch's place along the three axes, ``(1, N, width)``."""
        grid = [n // p for n, p in zip(x.shape[2:], self.patch, strict=True)]
        each = 2 * (self.width // 6)
        axes = torch.meshgrid(*(torch.arange(n, device=x.device, dtype=torch.float32) for n in grid), indexing="ij")
        rate = _PERIOD ** (-torch.arange(each // 2, device=x.device) / max(1, each // 2))
        angles = [axis.reshape(-1, 1) * rate for axis in axes]
        coded = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
        return F.pad(coded, (0, self.width - coded.shape[1]))[None]


class MaskedAutoencoder(nn.Module):
    """FE and FD: the encoder sees a few patches, the decoder draws the others."""

    def __init__(
        self, *, patch: Triple, width: int, layers: int, heads: int, decoder_layers: int, masked: float
    ) -> None:
        super().__init__()
        self.masked = masked
        self.encoder = PatchEncoder(patch=patch, width=width, layers=layers, heads=heads)
        self.blank = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(decoder_layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, math.prod(patch))

    def loss(self, x: Tensor, *, valid: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """L_MRM: mean squared error over the voxels of masked patches, those not ``valid`` being 0; scalar."""
        target = patches_of(x, self.encoder.patch)
        items, count, _ = target.shape
        order = torch.rand((items, count), generator=generator).argsort(1).to(x.device)
        seen = max(1, round(count * (1 - self.masked)))
        kept, hidden = order[:, :seen], order[:, seen:]
        error = (self._drawn(x, kept) - target).square()
        if valid is not None:
            error = torch.where(patches_of(valid, self.encoder.patch), error, 0.0)
        return error.gather(1, hidden[..., None].expand(-1, -1, error.shape[2])).mean()

    def _drawn(self, x: Tensor, kept: Tensor) -> Tensor:
        """Every patch ``(B, N, voxels)``, fp32, from those ``kept``."""
        seen = self.encoder(x, kept)
        places = self.encoder.places(x)
        tokens = self.blank.expand(len(x), places.shape[1], -1).to(seen.dtype)
        tokens = tokens.scatter(1, kept[..., None].expand(-1, -1, seen.shape[2]), seen) + places
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens)).float()


class AttentionBlock(nn.Module):
    """Pre-norm self-attention and MLP; without dropout, which flash attention would keep in evaluation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        items, count, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(items, count, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(items, count, width)
        x = x + self.out(seen)
        return x + self.mlp(self.norm2(x))


def patches_of(x: Tensor, patch: Triple) -> Tensor:
    """``(B, 1, D, H, W)`` → ``(B, N, voxels of a patch)``, N in the order (slices, rows, columns)."""
    return space_to_depth(x, patch).flatten(2).transpose(1, 2)
