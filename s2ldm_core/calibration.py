"""What a package says of its uncertainty: how wide intervals are, and how often they held."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

LEVELS: Final = (0.5, 0.8, 0.95)
"""Central intervals whose width is calibrated."""
_SHA256 = r"^[0-9a-f]{64}$"


class Calibration(BaseModel):
    """Of the standard deviation that a package's `s2ldm_core.spread.SpreadNetwork` predicts for its answer's error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[int, ...] = Field(min_length=1)
    """Of the network."""
    half_widths: tuple[float, float, float]
    """Half the width of the interval around the answer that holds the truth at each of `LEVELS`, in standard deviations. A normal
    distribution has 0.674, 1.282 and 1.960; errors have longer tails."""
    coverage: dict[str, dict[str, tuple[float, float, float]]]
    """Phase → tissue → the share of voxels whose truth lay within, at each of `LEVELS`: of cases that nothing was fitted to."""
    cases: int = Field(ge=1)
    """So many of them."""
    weights_sha256: str = Field(pattern=_SHA256)
    """Of the network's weights."""
    training_data: dict[str, Any] = Field(default_factory=dict, exclude_if=lambda data: not data)
    """What network and widths were fitted to, told as the package's own training data are; empty: nobody said."""
