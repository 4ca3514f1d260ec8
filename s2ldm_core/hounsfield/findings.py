"""What speaks against Hounsfield units in one slice."""

from enum import Enum

from s2ldm_core.hounsfield.landmarks import SliceValues

# Air, and lung however much of it is breathed out: peaks up to here are theirs.
_GAS_BELOW = -500.0
# Fat -130 to -70, water 0, tissue 20 to 80, enhanced organs up to 300.
_TISSUE_PEAK = (-150.0, 300.0)
# Enhanced vessels fill a small field of view; there is fat or lung too, which lies below zero in HU alone.
_VESSEL_PEAK = 800.0
_BELOW_ZERO = -50.0
# Nothing below zero, and a background no wider than this part of the range: the air of pictures, MR and PET.
_AT_ZERO = -20.0
_BACKGROUND_WIDTH = 0.03
_LEAST_CONTRAST = 100.0
# Even an enhanced organ has darker parts than this.
_NOTHING_BELOW = 100.0
# A picture of 8 bits that uses most of them, black among them.
_BLACK = (0.0, 2.0)
_WHITE = (150.0, 255.0)
# Fat lies 110 to 160 HU below soft tissue.
_FAT_BELOW = -50.0
_LEAST_FAT_TO_SOFT = 90.0
# All there is within so much of zero: HU divided by 16, or water alone.
_WATER = (-66.0, 130.0)
_WATER_PEAK = 12.0
# More of the tissue than bone and enhanced blood fill in any slice but the crown of the skull.
_MUCH_DENSE = 0.5
# Metal on an extended scale fills less of a slice.
_MUCH_ABOVE = 0.02
# Clipped by a window; in a CT nothing but metal reaches the highest value, and hardly any of it.
_MUCH_SATURATED = 0.03
_LEAST_TISSUE = 0.02
_LEAST_RANGE = 15.0


class Finding(Enum):
    """Why a slice's values are not taken for HU."""

    FLAT = "flat"
    NO_TISSUE = "no_tissue"
    ZERO = "zero"
    ABOVE = "above"
    PEAK = "peak"
    SQUEEZED = "squeezed"
    WATERY = "watery"
    SATURATED = "saturated"
    DENSE = "dense"

    @property
    def certain(self) -> bool:
        """Whether one slice is enough. A bladder fills a small field of view with
        water; the crown of the skull is dense."""
        return self in (Finding.ZERO, Finding.ABOVE, Finding.PEAK, Finding.SQUEEZED, Finding.SATURATED)


def finding(values: SliceValues) -> Finding | None:
    """The first thing that speaks against HU; ``None`` when nothing does."""
    if values.high - values.low < _LEAST_RANGE:
        return Finding.FLAT
    if values.above > _MUCH_ABOVE:
        return Finding.ABOVE
    if values.tissue < _LEAST_TISSUE:
        return Finding.NO_TISSUE
    if any(_out_of_place(peak, values) for peak in values.peaks):
        return Finding.PEAK
    if _starts_at_zero(values):
        return Finding.ZERO
    if _squeezed(values.peaks):
        return Finding.SQUEEZED
    if _watery(values):
        return Finding.WATERY
    if values.saturated > _MUCH_SATURATED:
        return Finding.SATURATED
    if values.dense > _MUCH_DENSE * values.tissue:
        return Finding.DENSE
    return None


def _out_of_place(peak: float, values: SliceValues) -> bool:
    if peak <= _GAS_BELOW or _TISSUE_PEAK[0] <= peak <= _TISSUE_PEAK[1]:
        return False
    return not (_TISSUE_PEAK[1] < peak <= _VESSEL_PEAK and values.low < _BELOW_ZERO)


def _starts_at_zero(values: SliceValues) -> bool:
    if values.low >= _NOTHING_BELOW:
        return True
    if _BLACK[0] <= values.least < _BLACK[1] and _WHITE[0] <= values.high <= _WHITE[1]:
        return True
    width = _BACKGROUND_WIDTH * (values.high - values.low)
    contrast = values.high - values.background >= _LEAST_CONTRAST
    return values.low >= _AT_ZERO and contrast and values.background - values.low <= width


def _squeezed(peaks: tuple[float, ...]) -> bool:
    """Whether the background lies where fat should, and the next peak too near for soft tissue."""
    if len(peaks) < 2 or not _TISSUE_PEAK[0] <= peaks[0] <= _FAT_BELOW:
        return False
    return peaks[1] - peaks[0] < _LEAST_FAT_TO_SOFT


def _watery(values: SliceValues) -> bool:
    """Whether all there is lies at zero, in tissue divided by 16 as in water."""
    near = all(abs(peak) <= _WATER_PEAK for peak in values.peaks)
    return bool(values.peaks) and near and _WATER[0] <= values.low and values.high <= _WATER[1]
