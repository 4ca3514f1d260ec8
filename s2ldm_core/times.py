"""A time between a model's phases: so much of what it answers for each of them.

Tissues enhance along curves that a bolus shapes alike, so that of two phases of a patient the change at a time between them follows
nearly linearly (`train.times` fits by how much). A model of phases so answers for times it was never trained on, and for another
hospital's arterial phase than that of its training.
"""

import hashlib
import json
from bisect import bisect_right
from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

_NOTHING = 0.025
"""A phase that counts less is not asked for: it would take its time and add less than its answer is off by."""


class Times(BaseModel):
    """How much each phase counts at a time; linear between ``seconds``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: tuple[FiniteFloat, ...] = Field(min_length=2)
    """After the start of the injection, rising: those of the first column, the second, … of ``weights``."""
    weights: dict[str, tuple[FiniteFloat, ...]] = Field(min_length=2)
    """Phase → weight at each of ``seconds``. They need not add up to one: between arterial and venous phase much enhances more than in
    either."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.seconds)):
            raise ValueError("the seconds of times do not rise")
        if any(len(weights) != len(self.seconds) for weights in self.weights.values()):
            raise ValueError("times have another number of weights than of seconds")
        return self

    def covers(self, seconds: float) -> bool:
        """Whether it is known how to answer for ``seconds``."""
        return self.seconds[0] <= seconds <= self.seconds[-1]

    @property
    def said(self) -> str:
        """What `covers`, in words."""
        return f"any time from {self.seconds[0]:g}s to {self.seconds[-1]:g}s"

    @property
    def digest(self) -> str:
        """SHA-256 of these times as JSON with sorted keys."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def at(self, seconds: float) -> dict[str, float]:
        """Phase → weight; phases that do not count are left out, but for the largest.

        Raises
        ------
        ValueError
            Not `covers`.
        """
        if not self.covers(seconds):
            raise ValueError(f"{seconds:g} s is not among {self.said}")
        later = min(bisect_right(self.seconds, seconds), len(self.seconds) - 1)
        start, end = self.seconds[later - 1 : later + 1]
        share = (seconds - start) / (end - start)
        found = {
            phase: (1 - share) * weights[later - 1] + share * weights[later] for phase, weights in self.weights.items()
        }
        most = max(abs(weight) for weight in found.values())
        return {phase: weight for phase, weight in found.items() if abs(weight) >= min(_NOTHING, most)}
