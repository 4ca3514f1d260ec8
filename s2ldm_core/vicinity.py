"""Vicinal training of CCDM (arXiv 2405.03546): an image also stands for labels near its own.

The paper draws a label ỹ = y + N(0, σ²) and then an image whose label lies within κ of it. Here the crop comes first, as everywhere in
training, so ỹ is drawn around the crop's own label: `hard` within κ alone, `soft` anywhere, with a weight. Labels are scaled to [0, 1].
"""

import math
from typing import Literal

import torch
from torch import Tensor

Mode = Literal["none", "hard", "soft"]


def rule_of_thumb(labels: Tensor, *, phases: int, factor: float = 1.0) -> tuple[float, float]:
    """(σ, κ) of known ``labels`` ``(n,)``: σ = 1.06 · std · n^(−1/5), κ = ``factor`` · the largest gap between consecutive distinct ones.

    (0, 0) where there are no more distinct labels than ``phases``: a neighbour would then be another phase.
    """
    distinct = labels.unique()
    if len(distinct) <= phases:
        return 0.0, 0.0
    sigma = 1.06 * float(labels.double().std(correction=0)) * len(labels) ** -0.2
    return sigma, abs(factor) * float(distinct.diff().max())


def vicinal(
    labels: Tensor, *, mode: Mode, sigma: float, kappa: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Drawn labels ỹ and the weights of their items, both ``(B,)``.

    ``hard``: ỹ from the normal cut off at κ, weight 1, which is what is left where farther images are turned away. ``soft``: ỹ from the
    whole normal, weight exp(−(y − ỹ)² / κ²). κ = 0: the labels themselves.
    """
    if mode == "none" or kappa == 0.0 or sigma == 0.0:
        return labels, torch.ones_like(labels)
    if mode == "soft":
        drawn = labels + sigma * torch.randn(labels.shape, generator=generator).to(labels.device)
        return drawn, torch.exp(-(((labels - drawn) / kappa) ** 2))
    reach = math.erf(kappa / sigma / math.sqrt(2))
    uniform = (2 * torch.rand(labels.shape, generator=generator, dtype=torch.float64) - 1) * reach
    offset = sigma * math.sqrt(2) * torch.erfinv(uniform)
    return labels + offset.float().clamp(-kappa, kappa).to(labels.device), torch.ones_like(labels)
