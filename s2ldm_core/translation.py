"""How a synthetic volume came about, as one value from the translator to the last object that tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What was made, by which model and how.

    Attributes
    ----------
    phase
        Contrast phase synthesised, as the model calls it.
    shares
        Phase → how much the model's answer for it counts, where ``phase`` is a time that it answers for with a weighted sum
        (`s2ldm_core.times`). Empty: it answered for ``phase`` itself.
    contrast_dose
        What the change was multiplied with (`s2ldm_core.contrast_dose`); 1 is the usual.
    model_name, model_version, weights_sha256
        The model package; the checksum is 64 hexadecimal digits.
    training_statement
        What the model was trained on, from its package. May be empty.
    seed, steps
        Of the sampler.
    seconds
        Wall time of each part of the work, in its order.
    device
        Where it was computed, as PyTorch calls it; empty where nobody said.
    tile
        Voxels of the model's grid computed at a time; smaller than usual where memory did not suffice. ``None`` where nobody said.
    """

    phase: str
    model_name: str
    model_version: str
    weights_sha256: str
    training_statement: str = ""
    seed: int
    steps: int
    shares: Mapping[str, float] = field(default_factory=dict)
    contrast_dose: float = 1.0
    seconds: Mapping[str, float] = field(default_factory=dict)
    device: str = ""
    tile: tuple[int, int, int] | None = None

    @property
    def model(self) -> str:
        """Name and version."""
        return f"{self.model_name} {self.model_version}"


def training_statement(training_data: Mapping[str, Any]) -> str:
    """One sentence on what a model was trained on: the package's own, or its facts strung together."""
    for key in ("statement", "source", "description"):
        if isinstance(training_data.get(key), str):
            return str(training_data[key])
    facts = [f"{key}: {value}" for key, value in training_data.items() if isinstance(value, str | int | float)]
    return "; ".join(facts)
