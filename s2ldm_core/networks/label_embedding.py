"""Embedding of a number that conditions an image, such as seconds after the injection."""

import torch
from torch import Tensor, nn

from s2ldm_core.networks.denoiser import sinusoidal


class LabelEmbedding(nn.Module):
    """Label in [0, 1] → ``(B, size)``: sinusoids and two linear layers; where ``dropped``, one learned vector (no condition)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.layers = nn.Sequential(nn.Linear(size, size), nn.SiLU(), nn.Linear(size, size))
        self.null = nn.Parameter(0.02 * torch.randn(size))

    def forward(self, label: Tensor, *, dropped: Tensor) -> Tensor:
        """``label`` ``(B,)`` float, ``dropped`` ``(B,)`` bool."""
        known = self.layers(sinusoidal(label, self.size)).float()
        return torch.where(dropped[:, None], self.null[None].expand_as(known), known)


class SeenLabels(nn.Module):
    """Phase and label of the last ``size`` training crops, which survive a restart as buffers."""

    phase: Tensor
    label: Tensor
    count: Tensor

    def __init__(self, size: int = 512) -> None:
        super().__init__()
        self.register_buffer("phase", torch.zeros(size, dtype=torch.long))
        self.register_buffer("label", torch.zeros(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def add(self, phase: Tensor, label: Tensor) -> None:
        """Note the known ones of ``(B,)``; NaN is unknown."""
        known = ~label.isnan()
        number = int(known.sum())
        places = (int(self.count) + torch.arange(number, device=self.phase.device)) % len(self.phase)
        self.phase[places], self.label[places] = phase[known], label[known].float()
        self.count += number

    def labels(self, phase: int | None = None) -> Tensor:
        """``(n,)`` those noted, of one phase or of all."""
        n = min(int(self.count), len(self.phase))
        label = self.label[:n]
        return label if phase is None else label[self.phase[:n] == phase]
