"""Stored pixel values to Hounsfield units (PS3.3 C.11.1, C.8.2.1.2), and which of them are padding."""

import re
from typing import Any

import numpy as np

from s2ldm_core.errors import VolumeError

#: Keywords that `hu_rescale` looks at.
HU_KEYWORDS: tuple[str, ...] = ("RescaleSlope", "RescaleIntercept", "RescaleType", "SamplesPerPixel")

# Some writers spell the unit out, one of them as HOUNDSFIELD UNIT.
_SPELT_OUT = re.compile(r"HOUND?SFIELD")
# Padding is air in all but the worst files; a value among tissues is a mistake of the header, not padding.
_TISSUE_HU = (-900.0, 3000.0)
_AIR_HU = -1024.0


def hu_rescale(header: Any) -> tuple[float, float]:
    """Slope and intercept that turn stored values into HU.

    Raises
    ------
    VolumeError
        ``not_hu`` when the image is colour, has no usable rescale, or says that its values are something else.
    """
    rescale_type = str(getattr(header, "RescaleType", None) or "HU").strip().upper()
    try:
        samples = int(getattr(header, "SamplesPerPixel", None) or 1)
    except (TypeError, ValueError) as error:
        raise _not_hu("Samples per Pixel is no number") from error
    if samples != 1:
        raise _not_hu("it is a colour image")
    if rescale_type != "HU" and not _SPELT_OUT.match(rescale_type):  # for CT, absent means HU (PS3.3 C.8.2.1.2.1)
        raise _not_hu(f"Rescale Type is {rescale_type}")
    try:
        slope, intercept = (float(getattr(header, keyword)) for keyword in ("RescaleSlope", "RescaleIntercept"))
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise _not_hu("Rescale Slope or Intercept is missing") from error
    if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
        raise _not_hu("Rescale Slope or Intercept is unusable")
    return slope, intercept


def _not_hu(reason: str) -> VolumeError:
    return VolumeError(
        "not_hu",
        f"The image's values are not Hounsfield units: {reason}.",
        "Send the original CT images, not screen captures, maps or secondary reconstructions.",
    )


def to_hu(header: Any, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """HU and padding of one decoded image.

    Parameters
    ----------
    header
        Offers the attributes of the Image Pixel and CT Image modules.
    stored
        ``(H, W)`` integers as decoded, the bits above Bits Stored still in place.

    Returns
    -------
    tuple of arrays
        ``(H, W)`` float32 HU, at most -1024 in padding; ``(H, W)`` bool padding, ``None`` when there is none.

    Raises
    ------
    VolumeError
        ``not_hu``, see `hu_rescale`.
    """
    slope, intercept = hu_rescale(header)
    clean = _stored_bits_only(header, stored)
    hu = clean.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    limits = _padding_limits(header, stored.dtype)
    if limits is None:
        return hu, None
    padding = (stored >= limits[0]) & (stored <= limits[1])
    lowest_hu, highest_hu = sorted(limit * slope + intercept for limit in limits)
    if highest_hu < _TISSUE_HU[0] or lowest_hu > _TISSUE_HU[1]:
        padding |= (clean >= limits[0]) & (clean <= limits[1])
    else:
        # Outside the stored range there is no doubt; inside it, tissue wins over a careless header.
        padding &= stored != clean
    if not padding.any():
        return hu, None
    hu[padding] = np.minimum(hu[padding], np.float32(_AIR_HU))
    return hu, padding


def _stored_bits_only(header: Any, stored: np.ndarray) -> np.ndarray:
    """Values of the Bits Stored lowest bits, sign extended; what is above them is undefined (PS3.5 8.1.1)."""
    unused = stored.dtype.itemsize * 8 - int(getattr(header, "BitsStored", None) or stored.dtype.itemsize * 8)
    if unused <= 0:
        return stored
    clean: np.ndarray = np.right_shift(np.left_shift(stored, unused), unused)
    return clean


def _padding_limits(header: Any, dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Lowest and highest padding value in the stored values' own type, whatever sign they were written with.

    Pixel Padding Value is often written unsigned for signed pixels (63536 for -2000) or the other way round, so it is
    taken as a bit pattern.
    """
    try:
        value = getattr(header, "PixelPaddingValue", None)
        if value is None or value == "":
            return None
        limit = getattr(header, "PixelPaddingRangeLimit", None)
        ends = [int(value), int(value if limit is None or limit == "" else limit)]
    except (ValueError, TypeError, OverflowError):
        return None
    bits = dtype.itemsize * 8
    wrapped = [end % 2**bits for end in ends]
    if dtype.kind == "i":
        wrapped = [end - 2**bits if end >= 2 ** (bits - 1) else end for end in wrapped]
    return min(wrapped), max(wrapped)
