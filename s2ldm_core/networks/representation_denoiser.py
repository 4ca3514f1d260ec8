"""The denoiser of a vector: residual MLP blocks under adaptive layer norm, as CDM's diffusion on representations."""

import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.denoiser import sinusoidal


class _Block(nn.Module):
    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(embedding, 3 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(condition).chunk(3, dim=1)
        return h + gate * self.layers(self.norm(h) * (1 + scale) + shift)


class RepresentationDenoiser(nn.Module):
    """Noisy vector ``(B, size)`` → the clean one, given time, phase (its own branch of the condition) and the source's representation."""

    def __init__(self, *, size: int, width: int, blocks: int, phases: int, embedding: int = 128) -> None:
        super().__init__()
        self.embedding = embedding
        self.time = nn.Sequential(nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.phase = nn.Embedding(phases, embedding)
        self.source = nn.Linear(size, embedding)
        self.inp = nn.Linear(size, width)
        self.blocks = nn.ModuleList(_Block(width, embedding) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, size)

    def forward(self, y: Tensor, *, t: Tensor, phase: Tensor, source: Tensor) -> Tensor:
        """``t`` ``(B,)`` in [0, 1], ``phase`` ``(B,)`` long, ``source`` ``(B, size)``; fp32 out."""
        time = self.time(sinusoidal(t, self.embedding).to(self.out.weight.dtype))
        condition = F.silu(time + self.phase(phase) + self.source(source))
        h = self.inp(y)
        for block in self.blocks:
            h = block(h, condition)
        return self.out(F.silu(self.norm(h))).float()
