"""What is done with stacks of slices that are no regular grid."""

from dataclasses import dataclass
from typing import Literal

Handling = Literal["refuse", "resample"]


@dataclass(frozen=True, kw_only=True)
class StackHandling:
    """What is done with stacks that are no regular grid.

    Attributes
    ----------
    tilt
        Of slices that lean against the direction of the stack (gantry tilt).
    irregular
        Of slices that are not evenly spaced.
    """

    tilt: Handling = "refuse"
    irregular: Handling = "refuse"


#: Only regular grids pass.
REGULAR_ONLY = StackHandling()
