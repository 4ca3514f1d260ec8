"""How an answer is drawn: once, or several times for a mean and a spread. One declaration for systems, translator, node and evaluation."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the configuration's commands load no arrays
    from s2ldm_core.intensity import ArrayT

Kind = Literal["noise", "dropout", "ensemble", "predicted"]
"""What differs from draw to draw: the sampler's noise, the values that a network leaves out, or the package. ``predicted``: nothing is
drawn; the answer is the system's own, beside the standard deviation of its error as the package has learned it."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What an answer consists of. The default is the system's own."""

    samples: int = 1
    """Draws, with the seed and those that follow it. More than one: the answer is their mean, beside their spread. An ensemble has one
    for each package, whatever this says."""
    steps: int | None = None
    """Of each draw. ``None``: the system's own number, and at least `FEWEST_STEPS` where draws are to differ."""
    kind: Kind | None = None
    """``None``: the kind that the system has."""

    @property
    def drawn(self) -> bool:
        """Whether answers with another seed are to be others."""
        return self.samples > 1 or self.kind not in (None, "predicted")


OWN = Sampling()
"""The system's own answer."""
FEWEST_STEPS = 2
"""Best for fidelity; in one step systems answer the same every time."""


def mean_and_spread(draws: "Iterable[ArrayT]") -> "tuple[ArrayT, ArrayT]":
    """Mean and standard deviation (n − 1) per voxel of arrays or tensors of floats, with one draw in memory at a time (Welford).

    Raises
    ------
    ValueError
        Fewer than two draws.
    """
    each = iter(draws)
    first = next(each, None)
    if first is None:
        raise ValueError("a spread needs two draws, not 0")
    mean, squares, count = first + 0, first * 0, 1
    for draw in each:
        count += 1
        difference = draw - mean
        mean += difference / count
        squares += difference * (draw - mean)
    if count == 1:
        raise ValueError("a spread needs two draws, not 1")
    return mean, (squares / (count - 1)) ** 0.5
