"""x_F, "contrast-enhanced CT following high-frequency enhancement", and the loss-side alternative.

The paper (arXiv 2406.13977, sec. 2.1) gives no formula; each mode is one reading of it.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from s2ldm_core.networks.blocks import depth_to_space, space_to_depth

Mode = Literal["none", "unsharp", "fft", "wavelet", "loss"]


def enhance(x: Tensor, *, mode: Mode, gain: float, sigma: float = 1.0) -> Tensor:
    """x_F of ``x`` ``(B, 1, D, H, W)``; in-plane only. ``none`` and ``loss`` return ``x`` itself."""
    if mode in ("none", "loss") or gain == 0:
        return x
    if mode == "unsharp":
        return x + gain * (x - _blur(x, sigma))
    if mode == "fft":
        h, w = x.shape[-2:]
        fy = torch.fft.fftfreq(h, device=x.device)[:, None]
        fx = torch.fft.rfftfreq(w, device=x.device)[None]
        high_pass = 1 - torch.exp(-2 * (math.pi * sigma) ** 2 * (fy**2 + fx**2))
        return torch.fft.irfft2(torch.fft.rfft2(x.float()) * (1 + gain * high_pass), s=(h, w)).to(x.dtype)
    bands = space_to_depth(x, (1, 2, 2))  # one-level Haar: the mean of each 2×2 cell and what deviates from it
    low = bands.mean(dim=1, keepdim=True)
    return depth_to_space(low + (1 + gain) * (bands - low), (1, 2, 2))


def gain_at(progress: float, *, gain: float, anneal: float = 0.3) -> float:
    """The gain falls linearly to 0 over the last ``anneal`` part of stage 1, so that metrics against x_c are not penalised."""
    if anneal <= 0:
        return gain
    return gain * min(1.0, max(0.0, (1.0 - progress) / anneal))


def gradient_loss(prediction: Tensor, target: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Mean absolute difference of the first differences along the three axes, 0 unless both neighbours are valid; scalar."""
    error = prediction - target
    if valid is None:
        return torch.stack([error.diff(dim=dim).abs().mean() for dim in (-3, -2, -1)]).mean()
    return torch.stack([_valid_differences(error, valid, dim) for dim in (-3, -2, -1)]).mean()


def _valid_differences(error: Tensor, valid: Tensor, dim: int) -> Tensor:
    size = error.shape[dim] - 1
    both = valid.narrow(dim, 0, size) & valid.narrow(dim, 1, size)
    return torch.where(both, error.diff(dim=dim).abs(), 0.0).mean()


def _blur(x: Tensor, sigma: float) -> Tensor:
    radius = max(1, math.ceil(3 * sigma))
    grid = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (grid / sigma) ** 2)
    kernel = kernel / kernel.sum()
    y = F.pad(x.flatten(0, 1), (radius, radius, radius, radius), mode="replicate")
    d = y.shape[1]
    y = F.conv2d(y, kernel.view(1, 1, -1, 1).expand(d, 1, -1, 1), groups=d)
    y = F.conv2d(y, kernel.view(1, 1, 1, -1).expand(d, 1, 1, -1), groups=d)
    return y.view_as(x)
