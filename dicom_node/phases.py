"""The contrast phases that the node offers, each declared once: how it is first shown, and how its series are numbered."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Phase:
    """How derived series of a phase are presented.

    Attributes
    ----------
    window_hu
        Window (centre, width) in HU in which it is first shown: wide enough that vessels do not saturate.
    series_number_offset
        Added to the source's Series Number; the phases' lie apart, so that those of one study do not meet.
    """

    window_hu: tuple[float, float] = (50.0, 400.0)
    series_number_offset: int = 1000


#: By the name that routes and models give them.
PHASES: Mapping[str, Phase] = MappingProxyType(
    {
        "arterial": Phase(window_hu=(120.0, 500.0), series_number_offset=1000),
        "venous": Phase(window_hu=(60.0, 400.0), series_number_offset=2000),
        "delayed": Phase(window_hu=(50.0, 350.0), series_number_offset=3000),
    }
)
#: Stands for a phase that only a model knows.
OTHER_PHASE = Phase()
