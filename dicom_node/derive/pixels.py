"""HU to stored values: 16 bit unsigned, slope 1, one intercept for the whole series (PS3.3 C.11.1, C.7.5.1.1.2)."""

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.errors import DeriveError

#: Usual CT intercept; kept whenever the lowest HU allows it.
_USUAL_INTERCEPT_HU = -1024
_STORED_MAX = 65535
#: Padding lies below anything measured; a "padding" above this HU is a header that cannot be taken at its word.
_PADDING_BELOW_HU = -900


@dataclass(frozen=True, kw_only=True)
class StoredScale:
    """``HU = stored + intercept_hu``; ``padding`` is the stored value that means "not scanned"."""

    intercept_hu: int
    padding: int | None = None


def source_padding_hu(header: Dataset) -> float | None:
    """Pixel Padding Value (0028,0120) of a source header in HU, or None when it has none.

    Some scanners write the value unsigned for signed pixels (63536 for -2000) or the other way round.
    """
    value = header.get("PixelPaddingValue")
    if value is None or value == "":
        return None
    stored = int(value)
    if header.get("PixelRepresentation", 0) == 1 and stored > 32767:
        stored -= 65536
    elif header.get("PixelRepresentation", 0) == 0 and stored < 0:
        stored += 65536
    return stored * float(header.get("RescaleSlope", 1) or 1) + float(header.get("RescaleIntercept", 0) or 0)


def plan_storage(hu: np.ndarray, *, padding: np.ndarray | None, padding_hu: float | None) -> StoredScale:
    """Choose one intercept, low enough for the lowest HU of the series and for its padding.

    Parameters
    ----------
    hu
        ``(D, H, W)`` HU; read slice by slice, so it may be a memory map.
    padding
        ``(D, H, W)`` bool, true where there is padding; its HU are ignored.
    padding_hu
        What the source's padding is in HU; kept where it lies below everything measured and fits.

    Raises
    ------
    DeriveError
        ``hu_not_finite`` or ``hu_range_too_wide``.
    """
    lowest, highest, padded = np.inf, -np.inf, False
    for index in range(hu.shape[0]):
        plane = hu[index]
        if padding is not None and padding[index].any():
            padded = True
            plane = plane[~padding[index]]
        if plane.size:
            lowest = float(np.minimum(lowest, plane.min()))  # unlike min(), these keep NaN
            highest = float(np.maximum(highest, plane.max()))
    if padded and lowest > highest:  # every pixel is padding
        lowest = highest = 0.0
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise DeriveError(
            "hu_not_finite",
            "The synthetic volume holds values that are not numbers, so no image is written.",
            "Run the job again; if it fails again, verify the model package.",
        )
    low, high = round(lowest), round(highest)
    intercept = _intercept_below(low)
    padding_stored: int | None = None
    if padded:
        usable = padding_hu is not None and padding_hu < low and padding_hu < _PADDING_BELOW_HU
        wanted = round(padding_hu) if usable and padding_hu is not None else low - 1
        if high - _intercept_below(wanted) > _STORED_MAX:
            wanted = low - 1
        intercept = _intercept_below(wanted)
        padding_stored = wanted - intercept
    if high - intercept > _STORED_MAX:
        intercept, padding_stored = (low - 1, 0) if padded else (low, None)
    if high - intercept > _STORED_MAX:
        raise DeriveError(
            "hu_range_too_wide",
            f"The volume spans {low} to {high} HU, more than 16 bits hold.",
            "Check the rescale slope and intercept of the source series.",
        )
    return StoredScale(intercept_hu=intercept, padding=padding_stored)


def to_stored(plane_hu: np.ndarray, *, scale: StoredScale, padding: np.ndarray | None = None) -> np.ndarray:
    """Stored values of one slice: ``(H, W)`` HU to ``(H, W)`` uint16, rounded to whole HU."""
    stored = np.rint(np.asarray(plane_hu, dtype=np.float64)) - scale.intercept_hu
    if padding is not None and scale.padding is not None:
        stored[padding] = scale.padding
    return stored.astype(np.uint16)


def _intercept_below(hu: int) -> int:
    """-1024, or the multiple of 1024 at or below ``hu`` when that is lower."""
    return min(_USUAL_INTERCEPT_HU, (hu // 1024) * 1024)
