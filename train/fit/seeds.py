"""Seeds that depend on where a run is alone, so that no generator's state needs to be kept."""

import torch


def mix(*parts: int) -> int:
    """One seed below 2⁶² from several non-negative numbers; their order counts."""
    value = 0
    for part in parts:
        value = (value * 1_000_003 + part + 1) % (2**62)
    return value


def seed_everything(*parts: int) -> torch.Generator:
    """Seed PyTorch's own generators from ``parts`` and return a CPU generator of the same seed."""
    seed = mix(*parts)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)
