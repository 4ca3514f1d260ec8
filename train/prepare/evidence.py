"""What Hounsfield units say about the contrast phase of a scan, whatever its tags say.

Three things are measured on axial slices. *Plateaus* of enhanced blood and kidney: even inside, brighter than anything
unenhanced, and darker all around; marrow of the same brightness is enclosed by a brighter cortex. *Parenchyma*: the
brightness of large even regions of soft tissue (liver, spleen, muscle). And the kidneys' kind of plateau: large ones.
In the arterial phase blood is far brighter than anything else; in the venous phase blood, kidneys and liver are alike.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import ndimage

from s2ldm_core.body import body_mask
from s2ldm_core.resample import to_spacing
from train.prepare.aorta import Disc, discs, spine_of, tube

#: In-plane grid, mm: the noise of a sharp kernel averages out on it, an aorta does not.
GRID_MM: Final = 2.0
_BRIGHT_HU: Final = (95.0, 700.0)
_VESSEL_RADIUS_MM: Final = 4.5
_RING_MM: Final = 5.0
_EDGE_HU: Final = 40.0
_MAX_BRIGHT_RING: Final = 0.25
_MIN_DARK_RING: Final = 0.60
_EVEN_HU: Final = 28.0
_EVEN_FRACTION: Final = 0.10
_MIN_PIXELS: Final = 4
_ORGAN_RADIUS_MM: Final = 8.0
_ORGAN_HU: Final = (20.0, 170.0)
_ORGAN_EVEN_HU: Final = 22.0
# Measured on real series: unenhanced at most 0.7 cm² of plateau per slice above 120 HU, enhanced at least 2.5 cm².
_ENHANCED_CM2: Final = 1.2
_NATIVE_CM2: Final = 0.5
# Vessels run through the stack; a stomach full of oral contrast does not.
_SLICE_CM2: Final = 0.3
_ENHANCED_SLICES: Final = 0.4
_SPINE_SLICES: Final = 0.5
_VESSEL_SLICES: Final = 0.4
_BRIGHT_VESSEL_SLICES: Final = 0.3
# Measured on real series over the whole disc: venous 116 to 154 HU, arterial from 219 HU, where organs had 110 HU.
_ARTERIAL_VESSEL_HU: Final = 200.0
_ABOVE_ORGANS_HU: Final = 80.0
_VENOUS_VESSEL_HU: Final = 180.0
_BLOOD_CM2: Final = 1.0
_ARTERIAL_BLOOD_HU: Final = 240.0
_VENOUS_BLOOD_HU: Final = 190.0
_ARTERIAL_CM2: Final = 0.3
# Where organs are bright too, a bit of bone taken for blood must not outweigh a whole liver.
_ARTERIAL_SHARE: Final = 0.2
_BRIGHT_ORGAN_HU: Final = 90.0
# Sharp kernels on thin slices: nothing is even in such noise unless it is smoothed, and beyond a point not even then.
_NOISY_HU: Final = 26.0
_TOO_NOISY_HU: Final = 110.0
_NOISE_SIGMA_MM: Final = 3.0
_SOFT_HU: Final = (-150.0, 250.0)
# Of the absolute difference of two pixels with the same normal noise: 1.4826 / sqrt 2.
_MEDIAN_TO_DEVIATION: Final = 1.0483


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a scan's slices show.

    Attributes
    ----------
    blood_cm2
        Mean area of bright plateaus per slice.
    blood_hu
        The HU that 1 cm² of them per slice exceeds, 0 when there are none: the aorta or heart, not the liver.
    arterial_cm2
        Mean area per slice of plateaus brighter than venous blood ever is.
    slice_fraction
        Part of the slices, 0..1, that show any worth counting.
    organ_hu
        The 75th percentile of HU in large even soft tissue, 0 when there is none.
    slices
        How many slices showed a body.
    vessel_hu, vessel_fraction
        HU of the tube in front of the spine, and the part of the slices that show it (see `train.prepare.aorta`).
    spine_fraction
        Part of the slices with a spine to look in front of.
    noise_hu
        Noise of soft tissue by the differences of neighbouring pixels of the grid; slices with much are smoothed before they are looked at.
    """

    blood_cm2: float
    blood_hu: float
    arterial_cm2: float
    slice_fraction: float
    organ_hu: float
    slices: int
    noise_hu: float = 0.0
    vessel_hu: float = 0.0
    vessel_fraction: float = 0.0
    spine_fraction: float = 0.0

    @property
    def silent(self) -> bool:
        """Whether there was no body to look at."""
        return self.slices == 0

    @property
    def enhanced(self) -> bool:
        """Whether there is enhanced blood: bright plateaus, and the aorta or bright organs among them, not a bowel alone."""
        if self.blood_cm2 < _ENHANCED_CM2 or self.slice_fraction < _ENHANCED_SLICES:
            return False
        return self.vessel or self.bright_organs or self.spine_fraction < _SPINE_SLICES

    @property
    def vessel(self) -> bool:
        """Whether the aorta is seen, enhanced."""
        wanted = _VESSEL_SLICES if self.vessel_hu < _ARTERIAL_BLOOD_HU else _BRIGHT_VESSEL_SLICES
        return self.vessel_fraction >= wanted

    @property
    def arterial_vessel(self) -> bool:
        """Whether the aorta is far brighter than the organs."""
        return (
            self.vessel and self.vessel_hu >= _ARTERIAL_VESSEL_HU and self.vessel_hu - self.organ_hu >= _ABOVE_ORGANS_HU
        )

    @property
    def surely_native(self) -> bool:
        return self.blood_cm2 < _NATIVE_CM2 and self.organ_hu < _BRIGHT_ORGAN_HU and not self.too_noisy

    @property
    def too_noisy(self) -> bool:
        """Whether enhanced blood would drown in noise: its absence then says nothing."""
        return self.noise_hu > _TOO_NOISY_HU

    @property
    def phase(self) -> Literal["native", "arterial", "venous"] | None:
        """The phase by blood and parenchyma, ``None`` in between; a delayed scan looks like a weak venous one."""
        if not self.enhanced:
            return "native"
        if self.arterial_vessel:
            return "arterial"
        if self.noise_hu > _NOISY_HU:  # what was smoothed shows that there is contrast, not how much of it
            return None
        if self.vessel and self.vessel_hu <= _VENOUS_VESSEL_HU and self.bright_organs:
            return "venous"
        mostly = self.arterial_cm2 >= _ARTERIAL_SHARE * self.blood_cm2
        if self.arterial_cm2 >= _ARTERIAL_CM2 and (mostly or not self.bright_organs):
            return "arterial"
        return "venous" if self.bright_organs or self.blood_hu <= _VENOUS_BLOOD_HU else None

    @property
    def bright_organs(self) -> bool:
        return self.organ_hu >= _BRIGHT_ORGAN_HU

    @property
    def plain(self) -> bool:
        """Whether an arterial scan cannot be a venous one or the other way round: blood and organs say the same."""
        if self.arterial_vessel:
            return True
        return self.phase == ("venous" if self.bright_organs else "arterial")

    @property
    def words(self) -> str:
        if not self.enhanced:
            return f"no enhanced blood (largest even soft tissue {self.organ_hu:.0f} HU)"
        return (
            f"blood at {self.vessel_hu if self.vessel else self.blood_hu:.0f} HU, soft tissue at {self.organ_hu:.0f} HU"
        )


def measure(slices: Iterable[tuple[np.ndarray, tuple[float, float]]]) -> Evidence:
    """Look at axial slices one by one.

    Parameters
    ----------
    slices
        ``(H, W)`` HU and ``(dy, dx)`` mm of each; neighbours need not touch, one slice is enough.
    """
    areas_cm2: list[float] = []
    blood: list[np.ndarray] = []
    organs: list[np.ndarray] = []
    noise: list[float] = []
    ahead: list[list[Disc]] = []
    for plane, spacing in slices:
        hu, grid = to_spacing(plane[None].astype(np.float32), (1.0, *spacing), (1.0, GRID_MM, GRID_MM))
        step = grid.spacing_mm
        body = body_mask(hu, step)[0]
        if not body.any():
            continue
        hu[0], noise_hu = _quiet(hu[0], body, step[1:])
        noise.append(noise_hu)
        bright = plateaus(hu[0], body, step[1:])
        areas_cm2.append(float(bright.sum()) * step[1] * step[2] / 100.0)
        blood.append(hu[0][bright])
        spine = spine_of(hu[0], body, step[1:])
        if spine is not None:
            ahead.append(discs(hu[0], bright, spine, step[1:]))
        organs.append(_organs(hu[0], body, step[1:]))
    inside, soft = _joined(blood), _joined(organs)
    vessel_hu, vessel_fraction = tube(ahead)
    return Evidence(
        blood_cm2=float(np.mean(areas_cm2)) if areas_cm2 else 0.0,
        blood_hu=_brightest(inside, area_cm2=float(np.sum(areas_cm2)), wanted_cm2=_BLOOD_CM2 * len(areas_cm2)),
        arterial_cm2=float((inside > _ARTERIAL_BLOOD_HU).mean() * np.mean(areas_cm2)) if inside.size else 0.0,
        slice_fraction=float(np.mean([area >= _SLICE_CM2 for area in areas_cm2])) if areas_cm2 else 0.0,
        organ_hu=float(np.percentile(soft, 75)) if soft.size else 0.0,
        slices=len(areas_cm2),
        noise_hu=float(np.median(noise)) if noise else 0.0,
        vessel_hu=vessel_hu,
        vessel_fraction=vessel_fraction,
        spine_fraction=len(ahead) / len(areas_cm2) if areas_cm2 else 0.0,
    )


def _quiet(hu: np.ndarray, body: np.ndarray, spacing_mm: tuple[float, float]) -> tuple[np.ndarray, float]:
    """A slice, smoothed where it is noisy, and its noise before."""
    step = np.abs(np.diff(hu, axis=1))
    soft = body[:, 1:] & (hu[:, 1:] > _SOFT_HU[0]) & (hu[:, 1:] < _SOFT_HU[1])
    noise_hu = float(np.median(step[soft])) * _MEDIAN_TO_DEVIATION if soft.any() else 0.0
    if noise_hu <= _NOISY_HU:
        return hu, noise_hu
    return ndimage.gaussian_filter(hu, [_NOISE_SIGMA_MM / step for step in spacing_mm], mode="nearest"), noise_hu


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _brightest(hu: np.ndarray, *, area_cm2: float, wanted_cm2: float) -> float:
    """The HU that ``wanted_cm2`` of an area exceed; its median when it is hardly larger."""
    if not hu.size:
        return 0.0
    return float(np.percentile(hu, 100.0 * max(0.5, 1.0 - wanted_cm2 / area_cm2)))


def plateaus(hu: np.ndarray, body: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """``(H, W)`` bool: even and bright regions at least as wide as a large vessel that are darker all around."""
    disc, wide = _disc(_VESSEL_RADIUS_MM, spacing_mm), _disc(_VESSEL_RADIUS_MM + _RING_MM, spacing_mm)
    mean, deviation = _moments(np.clip(hu, -200.0, 1500.0), disc)
    low, high = _BRIGHT_HU
    flat = body & (deviation < np.maximum(_EVEN_HU, _EVEN_FRACTION * mean)) & (mean > low) & (mean < high)
    labels, _ = ndimage.label(flat)
    kept = np.zeros_like(flat)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        around = tuple(
            slice(max(0, one.start - size // 2), one.stop + size // 2)
            for one, size in zip(place, wide.shape, strict=True)
        )
        part = labels[around] == number
        if part.sum() >= _MIN_PIXELS and _darker_around(hu[around], labels[around], part, disc, wide):
            kept[around] |= part
    return kept


def _darker_around(hu: np.ndarray, labels: np.ndarray, part: np.ndarray, disc: np.ndarray, wide: np.ndarray) -> bool:
    """Whether what surrounds a plateau is darker than it; its edge, one disc wide, is not looked at."""
    ring = ndimage.binary_dilation(part, wide) & ~ndimage.binary_dilation(part, disc) & (labels == 0)
    if not ring.any():
        return False
    inside = float(hu[part].mean())
    return bool(
        (hu[ring] > inside + _EDGE_HU).mean() < _MAX_BRIGHT_RING
        and (hu[ring] < inside - _EDGE_HU).mean() > _MIN_DARK_RING
    )


def _organs(hu: np.ndarray, body: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Mean HU around each pixel that lies well inside even soft tissue."""
    mean, deviation = _moments(np.clip(hu, -200.0, 400.0), _disc(_ORGAN_RADIUS_MM, spacing_mm))
    low, high = _ORGAN_HU
    values: np.ndarray = mean[body & (deviation < _ORGAN_EVEN_HU) & (mean > low) & (mean < high)]
    return values


def _disc(radius_mm: float, spacing_mm: tuple[float, float]) -> np.ndarray:
    rows, columns = int(radius_mm // spacing_mm[0]), int(radius_mm // spacing_mm[1])
    y, x = np.mgrid[-rows : rows + 1, -columns : columns + 1]
    inside: np.ndarray = (y * spacing_mm[0]) ** 2 + (x * spacing_mm[1]) ** 2 <= radius_mm**2
    return inside


def _moments(hu: np.ndarray, disc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the disc around each pixel, HU."""
    weights = (disc / disc.sum()).astype(np.float32)
    values = hu.astype(np.float32, copy=False)
    mean = ndimage.convolve(values, weights, mode="nearest")
    square = ndimage.convolve(values * values, weights, mode="nearest")
    return mean, np.sqrt(np.maximum(square - mean * mean, 0.0))
