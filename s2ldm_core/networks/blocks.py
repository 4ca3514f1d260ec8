"""Building blocks that keep whole-volume and tiled evaluation equal.

No block looks at a statistic of the whole volume (no Group/Instance/BatchNorm, no attention): every output voxel depends on
inputs within a fixed radius, so a tile with that radius as halo gives the same numbers as the whole volume.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Triple = tuple[int, int, int]


class VoxelNorm(nn.Module):
    """Layer normalisation over the channels of each voxel, ``(B, C, D, H, W)`` in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 4, 1)
        # In the type of its input, as CPUs do: on GPUs autocast would widen whole volumes, whose sums layer_norm has in fp32 anyway.
        with torch.autocast(x.device.type, enabled=False):
            y = F.layer_norm(y, (y.shape[-1],), eps=1e-5)
            # Not layer_norm's own weight and bias: on CPUs their bf16 gradients are summed in bf16, and come out ten times too small.
            y = torch.addcmul(self.bias.to(y.dtype), y, self.weight.to(y.dtype))
        return y.permute(0, 4, 1, 2, 3)


class ResidualBlock(nn.Module):
    """Pre-norm residual block: a 3×3×3 and a 1×3×3 convolution; radius 1 through-plane, 2 in-plane.

    ``embedding`` channels, where given, modulate the second normalisation (scale and shift).
    """

    radius: Triple = (1, 2, 2)

    def __init__(self, in_channels: int, out_channels: int, *, embedding: int = 0) -> None:
        super().__init__()
        self.norm1 = VoxelNorm(in_channels)
        self.conv1 = nn.Conv3d(in_channels, out_channels, (3, 3, 3), padding=(1, 1, 1))
        self.norm2 = VoxelNorm(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, (1, 3, 3), padding=(0, 1, 1))
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]
        self.modulation = nn.Linear(embedding, 2 * out_channels) if embedding else None
        self.skip = nn.Conv3d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.norm2(y)
        if self.modulation is not None and embedding is not None:
            scale, shift = self.modulation(embedding)[:, :, None, None, None].chunk(2, dim=1)
            y = y * (1 + scale) + shift
        y = self.conv2(F.silu(y))
        return y + (x if self.skip is None else self.skip(x))


class Downsample(nn.Module):
    """Strided convolution whose kernel is its stride: no overlap, so tiles aligned to the stride stay exact."""

    def __init__(self, in_channels: int, out_channels: int, stride: Triple) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, stride, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """1×1×1 convolution and pixel shuffle by ``stride``."""

    def __init__(self, in_channels: int, out_channels: int, stride: Triple) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv3d(in_channels, out_channels * stride[0] * stride[1] * stride[2], 1)

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(self.conv(x), self.stride)


def with_detail(x: Tensor, window: tuple[float, float] | None) -> Tensor:
    """``x`` ``(B, C, D, H, W)`` in window units, and where there is a narrower ``window`` (low, high) its first channel in that too.

    Unenhanced soft tissues differ by a few hundredths of the full window, which the first normalisation would drown.
    """
    if window is None:
        return x
    low, high = window
    return torch.cat([x, ((x[:, :1] - low) * (2 / (high - low)) - 1).clamp(-1, 1)], dim=1)


def space_to_depth(x: Tensor, stride: Triple) -> Tensor:
    """``(B, C, D, H, W)`` → ``(B, C·sz·sy·sx, D/sz, H/sy, W/sx)``; each axis must divide by its stride."""
    b, c, d, h, w = x.shape
    sz, sy, sx = stride
    y = x.reshape(b, c, d // sz, sz, h // sy, sy, w // sx, sx)
    return y.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * sz * sy * sx, d // sz, h // sy, w // sx)


def depth_to_space(x: Tensor, stride: Triple) -> Tensor:
    """Inverse of `space_to_depth`."""
    sz, sy, sx = stride
    b, c, d, h, w = x.shape
    y = x.reshape(b, c // (sz * sy * sx), sz, sy, sx, d, h, w)
    return y.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // (sz * sy * sx), d * sz, h * sy, w * sx)
