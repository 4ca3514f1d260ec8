"""The contrast phases that the node offers, each declared once: how it is first shown, and how its series are numbered."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from s2ldm_core.seconds import seconds_of


@dataclass(frozen=True, kw_only=True)
class Phase:
    """How derived series of a phase are presented.

    Attributes
    ----------
    window_hu
        Window (centre, width) in HU in which it is first shown where the source has none: wide enough that vessels
        do not saturate.
    series_number_offset
        Added to the source's Series Number; the phases' lie apart, so that those of one study do not meet.
    """

    window_hu: tuple[float, float] = (50.0, 400.0)
    series_number_offset: int = 1000

    @property
    def brightest_hu(self) -> float:
        """Upper end of `window_hu`: what the phase's vessels and organs may reach."""
        centre, width = self.window_hu
        return centre + width / 2

    def window_from(self, source_hu: tuple[float, float] | None) -> tuple[float, float]:
        """Window (centre, width) in HU for a series whose source is shown in ``source_hu``.

        What is black stays black; white moves up as far as the phase needs::

            low = centre - width / 2        high = max(centre + width / 2, brightest_hu)

        so that a soft-tissue window gets room for the vessels, and lung and bone windows stay what they are. Without a
        window of the source, or with one that shows no tissue, the phase's own.

        Examples
        --------
        >>> PHASES["arterial"].window_from((40.0, 400.0))
        (105.0, 530.0)
        """
        if source_hu is None:
            return self.window_hu
        centre, width = source_hu
        if not (_LEAST_WIDTH_HU <= width <= _MOST_WIDTH_HU and _LOWEST_HU < centre < _HIGHEST_HU):
            return self.window_hu
        low = centre - width / 2
        high = max(centre + width / 2, self.brightest_hu)
        return (low + high) / 2, high - low


#: Windows beyond these are defaults of a program, or in other units than HU.
_LEAST_WIDTH_HU, _MOST_WIDTH_HU = 10.0, 8192.0
_LOWEST_HU, _HIGHEST_HU = -1100.0, 3100.0

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
#: Series of a time, such as 35s, are numbered by it from here on.
_SECONDS_OFFSET = 4000
#: From a derived series' number to that of its uncertainty.
UNCERTAINTY_OFFSET = 1


def presented(phase: str) -> Phase:
    """How ``phase``, one of `PHASES`, a time such as ``35s`` or one that only a model knows, is presented.

    A time may be that of any vessel's peak: it gets the widest window.
    """
    if (seconds := seconds_of(phase)) is None:
        return PHASES.get(phase, OTHER_PHASE)
    return Phase(window_hu=PHASES["arterial"].window_hu, series_number_offset=_SECONDS_OFFSET + round(seconds))


def called(phase: str) -> str:
    """``phase`` as people call it: a time in words.

    Examples
    --------
    >>> called("35s"), called("venous")
    ('35 s after injection', 'venous')
    """
    return phase if seconds_of(phase) is None else f"{phase[:-1]} s after injection"


def depicted(phase: str) -> str:
    """What an image of ``phase`` is, such as "venous contrast phase" or "image 35 s after injection"."""
    return f"{phase} contrast phase" if seconds_of(phase) is None else f"image {called(phase)}"
