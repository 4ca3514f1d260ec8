"""From features of a slice to the probability of each region: a small network of two layers, as plain arrays."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

#: Made by ``python -m train.regions``; see docs/regions.md.
BUNDLED = Path(__file__).with_name("classifier.safetensors")
# Features far from all that was learnt from say no more than far.
_LIMIT = 5.0


@dataclass(frozen=True)
class Classifier:
    """An ensemble of ``E`` networks with ``F`` features, ``H`` hidden units and ``C`` classes.

    Attributes
    ----------
    mean, scale
        ``(F,)``: features are centred and scaled by them.
    first, first_bias, second, second_bias
        ``(E, F, H)``, ``(E, 1, H)``, ``(E, H, C)``, ``(E, 1, C)``.
    """

    mean: np.ndarray
    scale: np.ndarray
    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """``(D, C)`` of ``(D, F)`` features; each row adds up to one."""
        x = np.clip((features - self.mean) / self.scale, -_LIMIT, _LIMIT)
        hidden = np.maximum(x[None] @ self.first + self.first_bias, 0.0)
        logits = hidden @ self.second + self.second_bias
        exponents = np.exp(logits - logits.max(axis=2, keepdims=True))
        mean: np.ndarray = (exponents / exponents.sum(axis=2, keepdims=True)).mean(axis=0)
        return mean


@cache
def bundled() -> Classifier:
    """The classifier beside this file."""
    return Classifier(**load_file(BUNDLED))
