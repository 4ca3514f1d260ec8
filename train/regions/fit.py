"""Fitting the region classifier to features of labelled slices."""

import numpy as np
import torch
from torch import nn

from s2ldm_core.regions.classifier import Classifier
from s2ldm_core.regions.features import REGIONS

_HIDDEN = 48
_MEMBERS = 2
_EPOCHS = 24
_BATCH = 1024
_RATE = 5e-3
_DECAY = 2e-2
# What a feature may differ by between scanners and painters, in standard deviations.
_JITTER = 0.25
_DROPOUT = 0.2


def fit(features: np.ndarray, regions: np.ndarray, weights: np.ndarray, *, seed: int = 0) -> Classifier:
    """Fit an ensemble; deterministic in its arguments on one machine.

    Parameters
    ----------
    features, regions, weights
        ``(N, F)``, ``(N,)`` class indices, ``(N,)`` how much each slice counts.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    x = torch.from_numpy(np.clip((features - mean) / scale, -5, 5).astype(np.float32))
    y, w = torch.from_numpy(regions.astype(np.int64)), torch.from_numpy(weights.astype(np.float32))
    members = [_member(x, y, w, seed=seed * 100 + number) for number in range(_MEMBERS)]
    first, first_bias, second, second_bias = (np.stack(parts) for parts in zip(*members, strict=True))
    return Classifier(mean, scale, first, first_bias[:, None], second, second_bias[:, None])


def _member(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor, *, seed: int) -> tuple[np.ndarray, ...]:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second = nn.Linear(x.shape[1], _HIDDEN), nn.Linear(_HIDDEN, len(REGIONS))
        net = nn.Sequential(first, nn.ReLU(), nn.Dropout(_DROPOUT), second)
        steps = _EPOCHS * (len(x) // _BATCH + 1)
        optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        loss_of = nn.CrossEntropyLoss(reduction="none", label_smoothing=0.03)
        for _ in range(_EPOCHS):
            for batch in torch.randperm(len(x), generator=generator).split(_BATCH):
                jittered = x[batch] + _JITTER * torch.randn(len(batch), x.shape[1], generator=generator)
                loss = (w[batch] * loss_of(net(jittered), y[batch])).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    arrays = (first.weight.T, first.bias, second.weight.T, second.bias)
    return tuple(array.detach().numpy().copy() for array in arrays)
