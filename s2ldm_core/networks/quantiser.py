"""Vector quantiser of the VQ-GAN encoder that keeps its codes alive (MONAI's EMAQuantizer collapses to a few codes)."""

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class Quantised(NamedTuple):
    """``latent``: same shape as the input, straight-through; ``codes``: ``(B, d, h, w)`` long; ``loss``: scalar."""

    latent: Tensor
    codes: Tensor
    loss: Tensor


class VectorQuantiser(nn.Module):
    """Nearest code with an exponential-moving-average codebook (van den Oord et al. 2017, app. A.1).

    Three things keep codes in use: k-means on the first training batch, an EMA count that starts at 1, and a restart
    of every code whose EMA count falls below ``restart_below`` at a random latent of the batch. ``cosine`` compares
    directions only (codes and latents L2-normalised). Look-up runs in chunks, so memory is bounded by
    ``chunk × codes`` floats whatever the volume.
    """

    codebook: Tensor
    count: Tensor
    total: Tensor
    started: Tensor

    def __init__(
        self,
        *,
        codes: int,
        channels: int,
        beta: float = 0.25,
        decay: float = 0.99,
        cosine: bool = False,
        restart_below: float = 0.05,
        chunk: int = 16384,
        kmeans_iterations: int = 8,
    ) -> None:
        super().__init__()
        self.beta, self.decay, self.cosine = beta, decay, cosine
        self.restart_below, self.chunk, self.kmeans_iterations = restart_below, chunk, kmeans_iterations
        self.register_buffer("codebook", torch.randn(codes, channels))
        self.register_buffer("count", torch.ones(codes))
        self.register_buffer("total", self.codebook.clone())
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self._used: Tensor | None = None

    def forward(self, z: Tensor, *, update: bool = True) -> Quantised:
        """``z``: ``(B, C, d, h, w)``. In training mode, and unless ``update`` is false, also moves the codebook towards ``z``."""
        with torch.autocast(z.device.type, enabled=False):
            flat = z.float().movedim(1, -1).reshape(-1, z.shape[1])
            if self.cosine:
                flat = F.normalize(flat, dim=1)
            update = update and self.training
            if update:
                self._start(flat.detach())
            codes = self.nearest(flat.detach())
            quantised = self.codebook[codes]
            loss = self.beta * F.mse_loss(flat, quantised)
            if update:
                self._update(flat.detach(), codes)
            straight = flat + (quantised - flat).detach()
            if self.training:
                used = torch.bincount(codes, minlength=len(self.codebook))
                self._used = used if self._used is None else self._used + used
            shape = (z.shape[0], *z.shape[2:])
            return Quantised(straight.reshape(*shape, -1).movedim(-1, 1).to(z.dtype), codes.reshape(shape), loss)

    def take_used(self) -> Tensor | None:
        """How often each code was the nearest in training mode since the last call, ``(codes,)``; ``None``: never asked."""
        used, self._used = self._used, None
        return used

    def nearest(self, flat: Tensor) -> Tensor:
        """``(N, C)`` → index of the nearest code, ``(N,)``, in chunks."""
        return _nearest(flat, self.codebook, self.chunk)

    @torch.no_grad()
    def _start(self, flat: Tensor) -> None:
        if bool(self.started):
            return
        centres = _sample_rows(flat, len(self.codebook))
        for _ in range(self.kmeans_iterations):
            nearest = _nearest(flat, centres, self.chunk)
            count = torch.bincount(nearest, minlength=len(centres)).to(flat.dtype)
            total = torch.zeros_like(centres).index_add_(0, nearest, flat)
            used = count > 0
            centres[used] = total[used] / count[used, None]
            if self.cosine:
                centres = F.normalize(centres, dim=1)
            empty = int((~used).sum())
            if empty:
                centres[~used] = _sample_rows(flat, empty)
        if _distributed():
            dist.broadcast(centres, 0)
        self.codebook.copy_(centres)
        self.total.copy_(centres)
        self.count.fill_(1.0)
        self.started.fill_(True)

    @torch.no_grad()
    def _update(self, flat: Tensor, codes: Tensor) -> None:
        count = torch.bincount(codes, minlength=len(self.codebook)).to(flat.dtype)
        total = torch.zeros_like(self.total).index_add_(0, codes, flat)
        if _distributed():
            dist.all_reduce(count)
            dist.all_reduce(total)
        self.count.mul_(self.decay).add_(count, alpha=1 - self.decay)
        self.total.mul_(self.decay).add_(total, alpha=1 - self.decay)
        fresh = self.total / self.count.clamp_min(1e-5)[:, None]
        dead = self.count < self.restart_below
        restarts = _sample_rows(flat, len(fresh))
        if _distributed():
            dist.broadcast(restarts, 0)
        fresh = torch.where(dead[:, None], restarts, fresh)
        self.total.copy_(torch.where(dead[:, None], restarts, self.total))
        self.count.copy_(torch.where(dead, torch.ones_like(self.count), self.count))
        self.codebook.copy_(F.normalize(fresh, dim=1) if self.cosine else fresh)


def codes_in_use(used: Tensor) -> tuple[float, float]:
    """Share of the codes that occur (of as many as there were latents, if fewer), and their perplexity exp(−Σ p log p)."""
    total = int(used.sum())
    share = int((used > 0).sum()) / max(1, min(len(used), total))
    p = used[used > 0].double() / max(1, total)
    return share, float(torch.exp(-(p * p.log()).sum()))


def _nearest(flat: Tensor, codebook: Tensor, chunk: int) -> Tensor:
    # argmin ‖z − c‖² = argmin ‖c‖² − 2 z·c
    norm = codebook.pow(2).sum(1)
    return torch.cat([torch.addmm(norm, part, codebook.T, alpha=-2).argmin(1) for part in flat.split(chunk)])


def _sample_rows(flat: Tensor, n: int) -> Tensor:
    index = (
        torch.randint(len(flat), (n,), device=flat.device)
        if n > len(flat)
        else torch.randperm(len(flat), device=flat.device)[:n]
    )
    return flat[index].clone()


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
