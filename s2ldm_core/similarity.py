"""Similarity of the two embeddings: cosine, the loss L_sim (eq. 1) and the mask S (eq. 3) of S2LDM, arXiv 2406.13977."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Axis = Literal["channel", "spatial", "element", "window"]
_EPS = 1e-6


def cosine(a: Tensor, b: Tensor, *, axis: Axis = "channel") -> Tensor:
    """Cosine of ``a`` and ``b`` (``(B, C, d, h, w)``), in fp32, values in [-1, 1].

    ``channel``: over the channels of each position, ``(B, 1, d, h, w)`` (default: the only reading that localises regions).
    ``spatial``: over the positions of each channel, ``(B, C, 1, 1, 1)``. ``element``: per scalar, hence ±1.
    ``window``: over a 3×3×3 neighbourhood per channel, ``(B, C, d, h, w)``.
    """
    a, b = a.float(), b.float()
    if axis == "channel":
        return F.cosine_similarity(a, b, dim=1, eps=_EPS).unsqueeze(1)
    if axis == "spatial":
        return F.cosine_similarity(a.flatten(2), b.flatten(2), dim=2, eps=_EPS)[..., None, None, None]
    if axis == "element":
        return a * b / (a.abs() * b.abs()).clamp_min(_EPS)

    def box(x: Tensor) -> Tensor:
        return F.avg_pool3d(x, 3, stride=1, padding=1, count_include_pad=False)

    return (box(a * b) / (box(a * a) * box(b * b)).sqrt().clamp_min(_EPS)).clamp(-1, 1)


def similarity_loss(c: Tensor, *, gamma: float = 1.0, clamp: float = 1e-4) -> Tensor:
    """Eq. 1: ``mean −(1−u)^γ log u`` with ``u = (1+c)/2`` clamped from below (it diverges at c = −1); scalar, fp32."""
    u = ((1 + c.float()) / 2).clamp(clamp, 1.0)
    return (-((1 - u) ** gamma) * u.log()).mean()


def similarity_mask(c: Tensor, *, progress: float, alpha: float = 2.0) -> Tensor:
    """Eq. 3: ``S = min(α·progress + u, 1)``, progress ∈ [0, 1] (steps done of all steps); same shape as ``c``, detached.

    At inference E_c is absent and S is all ones, which is the value training ends at (for α = 2, from half-way on).
    """
    u = (1 + c.detach().float()) / 2
    return torch.clamp(alpha * progress + u, max=1.0)
