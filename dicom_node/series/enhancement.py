"""Whether a CT is contrast-enhanced already, judged from its HU.

Tags often do not say so: series come with an empty Contrast/Bolus Agent although the aorta is at 300 HU. What tells
enhanced blood from bone is not brightness, which overlaps from 120 to 700 HU, but shape: blood, kidney and heart
are plateaus, even inside and darker all around; marrow of the same brightness is enclosed by a cortex that is brighter.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from s2ldm_core.body import body_mask

#: Grid for plateaus, mm: coarse enough for the noise of a lung kernel to average out, fine enough for an aorta.
GRID_MM = (3.0, 2.0)

_PLATEAU_HU = (120.0, 700.0)
# Noise on the grid above is 8 to 25 HU; above 280 HU beam hardening and motion make even a vessel less even.
_EVEN_HU = 28.0
_EVEN_FRACTION = 0.10
_PLATEAU_RADIUS_MM = 4.5
_RING_MM = 5.0
_EDGE_HU = 40.0
_MAX_BRIGHT_RING = 0.25
_MIN_DARK_RING = 0.60
_MIN_VOXELS = 4
_SLICE_CM2 = 0.3
# Measured on real series and slices: without contrast at most 0.7 cm², with contrast at least 2.5 cm².
_ENHANCED_CM2 = 1.2
_ENHANCED_ML = 2.0
# Vessels run through the stack; a stomach full of oral contrast does not.
_ENHANCED_SLICES = 0.4


@dataclass(frozen=True, kw_only=True)
class Enhancement:
    """How much of a volume looks like enhanced blood or kidney.

    Attributes
    ----------
    volume_ml
        Volume of the plateaus' cores.
    area_cm2
        That volume per length of the stack: mean area on a slice.
    slice_fraction
        Part of the slices, 0..1, on which there is any worth counting.
    mean_hu
        Mean HU of the plateaus; 0 if there is none.
    """

    volume_ml: float
    area_cm2: float
    slice_fraction: float
    mean_hu: float

    @property
    def enhanced(self) -> bool:
        """Whether that is more than unenhanced CT shows."""
        return (
            self.area_cm2 >= _ENHANCED_CM2
            and self.volume_ml >= _ENHANCED_ML
            and self.slice_fraction >= _ENHANCED_SLICES
        )


def measure_enhancement(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> Enhancement:
    """Look for plateaus of enhanced blood.

    Parameters
    ----------
    hu
        ``(D, H, W)`` HU on a grid near `GRID_MM`, axial slices; see `dicom_node.series.pixels.SeriesPixels`.
    spacing_mm
        ``(dz, dy, dx)`` of that grid.
    """
    body = _trunk(hu, spacing_mm)
    disc = _disc(_PLATEAU_RADIUS_MM, spacing_mm)
    mean, deviation = _local_moments(np.clip(hu, -200.0, 1500.0), disc)
    even = deviation < np.maximum(_EVEN_HU, _EVEN_FRACTION * mean)
    plateau = body & even & (mean > _PLATEAU_HU[0]) & (mean < _PLATEAU_HU[1])
    labels, _ = ndimage.label(plateau)
    vessel = np.zeros_like(plateau)
    wide = _disc(_PLATEAU_RADIUS_MM + _RING_MM, spacing_mm)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        around = _grown(place, wide.shape)
        component = labels[around] == number
        if component.sum() >= _MIN_VOXELS and _is_darker_around(hu[around], labels[around], component, disc, wide):
            vessel[around] |= component
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    volume_ml = float(vessel.sum()) * voxel_ml
    slice_cm2 = vessel.sum(axis=(1, 2)) * spacing_mm[1] * spacing_mm[2] / 100.0
    return Enhancement(
        volume_ml=volume_ml,
        area_cm2=float(slice_cm2.mean()),
        slice_fraction=float((slice_cm2 >= _SLICE_CM2).mean()),
        mean_hu=float(hu[vessel].mean()) if vessel.any() else 0.0,
    )


def _trunk(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """The largest body: a table's padding is as even and as dense as blood can be."""
    body = body_mask(hu, spacing_mm)
    labels, count = ndimage.label(body)
    if count == 0:
        return np.ones_like(body)
    return labels == int(np.bincount(labels.ravel())[1:].argmax()) + 1


def _disc(radius_mm: float, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """``(1, h, w)`` bool: within a slice, so that slice thickness does not matter."""
    rows, columns = int(radius_mm // spacing_mm[1]), int(radius_mm // spacing_mm[2])
    y, x = np.mgrid[-rows : rows + 1, -columns : columns + 1]
    return ((y * spacing_mm[1]) ** 2 + (x * spacing_mm[2]) ** 2 <= radius_mm**2)[None]


def _local_moments(hu: np.ndarray, disc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the disc around each voxel, HU."""
    weights = (disc / disc.sum()).astype(np.float32)
    values = hu.astype(np.float32, copy=False)
    mean = ndimage.convolve(values, weights, mode="nearest")
    square = ndimage.convolve(values * values, weights, mode="nearest")
    return mean, np.sqrt(np.maximum(square - mean * mean, 0.0))


def _grown(place: tuple[slice, ...], reach: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, one.start - size // 2), one.stop + size // 2) for one, size in zip(place, reach, strict=True)
    )


def _is_darker_around(
    hu: np.ndarray, labels: np.ndarray, component: np.ndarray, disc: np.ndarray, wide: np.ndarray
) -> bool:
    """Whether what surrounds a plateau is darker than it. The edge itself, one disc wide, is not looked at."""
    ring = ndimage.binary_dilation(component, wide) & ~ndimage.binary_dilation(component, disc) & (labels == 0)
    if not ring.any():
        return False
    inside = float(hu[component].mean())
    outside = hu[ring]
    bright = float((outside > inside + _EDGE_HU).mean())
    dark = float((outside < inside - _EDGE_HU).mean())
    return bright < _MAX_BRIGHT_RING and dark > _MIN_DARK_RING
