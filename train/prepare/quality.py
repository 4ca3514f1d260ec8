"""How well a registered pair fits, without landmarks, and which pairs do not fit well enough to learn from.

Fat takes up hardly any contrast and bone none that matters, so what differs there between native and contrast image is
misalignment and noise, whatever the phase.
"""

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from s2ldm_core.body import body_mask
from s2ldm_core.problem import Problem
from train.prepare.evidence import plateaus
from train.prepare.greys import outlines

_CLIP_HU: Final = (-200.0, 300.0)
_BINS: Final = 32
_FAT_HU: Final = (-140.0, -70.0)
_BONE_HU: Final = 200.0
_EDGE_MM: Final = 3.0
_MIN_VOXELS: Final = 200
# Noise of two scans on the model's grid gives 15 to 30 HU in fat; a slip of 6 mm already gives more than 45.
_WORST_FAT_HU: Final = 45.0
_WORST_BONE_EDGE_HU: Final = 170.0
_MOST_FOLDING: Final = 0.01
# After the linear stage. Real pairs: 0.54 to 0.85, phantoms 0.85; mirrored, or of two patients: at most 0.42. A free deformation brings
# wrong ones up to 0.50, so it is not asked.
_LEAST_EDGES: Final = 0.48
_EDGE_SMOOTHING_MM: Final = 2.0
# Enhanced blood in one phase only: less is a bit of bowel that moved.
_LEAST_BLOOD_CM2: Final = 0.5
_LEAST_BLOOD_SLICES: Final = 0.4
_BLOOD_CHANGE_HU: Final = 40.0
_UNENHANCED_HU: Final = (0.0, 90.0)
_LOOKED_AT: Final = 24
_LEAST_COVERED: Final = 0.6
# Interpolation alone lowers the mutual information of images with little noise; fat and bone must have got worse as well.
_MI_TOLERANCE: Final = 0.03
_WORSE_HU: Final = 8.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a contrast image lies on the native one.

    Attributes
    ----------
    mutual_information
        In nats, inside the body, of HU clipped to [-200, 300] in 32 bins; higher is better.
    fat_hu
        Median of the absolute difference where the native image is fat; ``nan`` where there is too little.
    bone_edge_hu
        The same within 3 mm of the surface of bone.
    """

    mutual_information: float
    fat_hu: float
    bone_edge_hu: float


@dataclass(frozen=True, kw_only=True)
class Blood:
    """Blood that is bright in the contrast image where the native one has the HU of unenhanced blood.

    Attributes
    ----------
    cm2
        Mean area per axial slice, in the aorta, heart, large vessels and kidneys.
    slices
        Part of the slices, 0..1, that show any worth counting.
    change_hu
        Median change there, 0 without any.
    hu
        Median HU there in the contrast image.
    """

    cm2: float
    slices: float
    change_hu: float
    hu: float


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What registration did to one pair.

    Attributes
    ----------
    before, after
        The fit with the scanner's own coordinates, and with the registration's.
    folding, largest_mm
        See `train.prepare.registration.Registration`.
    edges
        Correlation of the outlines' edges in the body after the linear stage: whether both show the same body.
    blood
        How much blood is enhanced against the native scan.
    covered
        Part of the native scan's slices that the contrast scan covers.
    boundary_mm
        Organ → mean distance of its outlines before and after, mm, where both scans come with labels.
    """

    before: Fit
    after: Fit
    folding: float
    largest_mm: float
    edges: float
    blood: Blood
    covered: float
    boundary_mm: dict[str, tuple[float, float]]

    def record(self) -> dict[str, object]:
        """As it goes into ``case.json`` and the manifest: rounded, ``nan`` as ``None``."""
        falls = {organ: 1.0 - after / before for organ, (before, after) in self.boundary_mm.items() if before > 0}
        return {key: _plain(value) for key, value in {**asdict(self), "boundary_error_falls": falls}.items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value


def fit(native: np.ndarray, contrast: np.ndarray, *, spacing_mm: tuple[float, float, float], where: np.ndarray) -> Fit:
    """Measure how a contrast image lies on the native one.

    Parameters
    ----------
    native, contrast
        ``(D, H, W)`` HU on one grid of ``spacing_mm``.
    where
        ``(D, H, W)`` bool: where the contrast image was measured.
    """
    body = body_mask(native, spacing_mm) & where
    difference = np.abs(contrast - native)
    fat = body & (native > _FAT_HU[0]) & (native < _FAT_HU[1])
    bone = (native > _BONE_HU) & body
    distance = ndimage.distance_transform_edt(bone, sampling=spacing_mm) if bone.any() else np.zeros(bone.shape)
    outside = ndimage.distance_transform_edt(~bone, sampling=spacing_mm) if bone.any() else np.full(bone.shape, np.inf)
    edge = body & (np.where(bone, distance, outside) <= _EDGE_MM)
    return Fit(
        mutual_information=mutual_information(native[body], contrast[body]),
        fat_hu=_median(difference[fat]),
        bone_edge_hu=_median(difference[edge]),
    )


def edge_correlation(
    native: np.ndarray, contrast: np.ndarray, *, spacing_mm: tuple[float, float, float], where: np.ndarray
) -> float:
    """Pearson correlation of the gradient's length of two images' outlines inside the body; ``nan`` without any.

    Outlines are the greys of `train.prepare.greys.outlines`, which contrast does not change, smoothed by 2 mm.

    Parameters
    ----------
    where
        ``(D, H, W)`` bool: where the contrast image was measured.
    """
    body = body_mask(native, spacing_mm) & where
    inside = ndimage.binary_erosion(body, iterations=2)
    if inside.sum() < _MIN_VOXELS:
        return float("nan")
    one, other = (_edges(image, spacing_mm)[inside] for image in (native, contrast))
    if not (one.std() > 0 and other.std() > 0):
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _edges(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    grey = ndimage.gaussian_filter(outlines(hu).astype(np.float32), [_EDGE_SMOOTHING_MM / step for step in spacing_mm])
    squares = [(ndimage.sobel(grey, axis=axis) / step) ** 2 for axis, step in enumerate(spacing_mm)]
    length: np.ndarray = np.sqrt(np.sum(squares, axis=0))
    return length


def enhanced_blood(
    native: np.ndarray, contrast: np.ndarray, *, spacing_mm: tuple[float, float, float], where: np.ndarray
) -> Blood:
    """Look for even bright regions of the contrast image that are blood or kidney in the native one.

    Bone and oral contrast are bright in both; noise is not even.
    """
    body = body_mask(native, spacing_mm) & where
    shown = [index for index in range(len(native)) if body[index].any()]
    areas: list[float] = []
    changes: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for index in shown[:: max(1, len(shown) // _LOOKED_AT)]:
        before = ndimage.uniform_filter(native[index], 3)
        after = ndimage.uniform_filter(contrast[index], 3)
        blood = plateaus(contrast[index], body[index], spacing_mm[1:])
        blood &= (before > _UNENHANCED_HU[0]) & (before < _UNENHANCED_HU[1]) & (after - before > _BLOOD_CHANGE_HU)
        areas.append(float(blood.sum()) * spacing_mm[1] * spacing_mm[2] / 100.0)
        changes.append((after - before)[blood])
        values.append(after[blood])
    change, hu = (np.concatenate(parts) if parts else np.empty(0) for parts in (changes, values))
    return Blood(
        cm2=float(np.mean(areas)) if areas else 0.0,
        slices=float(np.mean([area >= _LEAST_BLOOD_CM2 for area in areas])) if areas else 0.0,
        change_hu=float(np.median(change)) if change.size else 0.0,
        hu=float(np.median(hu)) if hu.size else 0.0,
    )


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size >= _MIN_VOXELS else float("nan")


def mutual_information(one: np.ndarray, other: np.ndarray) -> float:
    r"""Mutual information in nats of two sets of HU from the same voxels.

    .. math:: I = \sum_{ij} p_{ij} \ln \frac{p_{ij}}{p_i p_j}

    over a joint histogram of 32 by 32 bins of HU clipped to [-200, 300]; 0 for empty input.
    """
    if one.size == 0:
        return 0.0
    clipped = [np.clip(values, *_CLIP_HU) for values in (one, other)]
    joint, _, _ = np.histogram2d(clipped[0], clipped[1], bins=_BINS, range=[_CLIP_HU, _CLIP_HU])
    joint /= joint.sum()
    outer = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / outer[filled])).sum())


def boundary_error_mm(one: np.ndarray, other: np.ndarray, *, spacing_mm: tuple[float, float, float]) -> float:
    """Mean distance between the outlines of two masks, from each to the other, mm; ``nan`` when one is empty.

    Parameters
    ----------
    one, other
        ``(D, H, W)`` bool on one grid.
    """
    edges = [mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in (one, other)]
    if not (edges[0].any() and edges[1].any()):
        return float("nan")
    ways = [ndimage.distance_transform_edt(~edges[1 - index], sampling=spacing_mm)[edges[index]] for index in (0, 1)]
    return float((ways[0].sum() + ways[1].sum()) / (ways[0].size + ways[1].size))


def refusal(quality: Quality) -> Problem | None:
    """Why a pair is no training data, or ``None`` when it is."""
    after, before = quality.after, quality.before
    if not np.isfinite(after.mutual_information) or (np.isnan(after.fat_hu) and np.isnan(after.bone_edge_hu)):
        return Problem(
            "fit_unmeasured", "there is too little body, or values that are no numbers: nobody can say whether it fits"
        )
    # Written so that a measure that is not a number is refused as well; fat or bone alone may be missing.
    if not quality.covered >= _LEAST_COVERED:
        return Problem("short_coverage", f"the contrast scan covers {quality.covered:.0%} of the native one")
    if not quality.folding <= _MOST_FOLDING:
        return Problem("folding", f"the deformation folds over in {quality.folding:.1%} of the body")
    if not quality.edges >= _LEAST_EDGES:
        return Problem(
            "misaligned_edges",
            f"outlines correlate by {quality.edges:.2f} after the linear registration (at least {_LEAST_EDGES:.2f}): another "
            "patient or region, or one of the scans is mirrored",
        )
    if after.fat_hu > _WORST_FAT_HU:
        return Problem(
            "misaligned_fat",
            f"fat differs by {after.fat_hu:.0f} HU after registration (at most {_WORST_FAT_HU:.0f})",
        )
    if after.bone_edge_hu > _WORST_BONE_EDGE_HU:
        return Problem(
            "misaligned_bone",
            f"bone edges differ by {after.bone_edge_hu:.0f} HU after registration (at most {_WORST_BONE_EDGE_HU:.0f})",
        )
    lost = before.mutual_information - after.mutual_information
    worse = max(after.fat_hu - before.fat_hu, 0.5 * (after.bone_edge_hu - before.bone_edge_hu))
    if lost > _MI_TOLERANCE and worse > _WORSE_HU:
        fell = f"mutual information fell from {before.mutual_information:.2f} to {after.mutual_information:.2f}"
        return Problem("registration_worse", f"{fell}, and fat and bone lie worse")
    blood = quality.blood
    if not (blood.cm2 >= _LEAST_BLOOD_CM2 and blood.slices >= _LEAST_BLOOD_SLICES):
        return Problem(
            "not_enhanced",
            f"aorta, heart and kidneys are no brighter than in the native scan: {blood.cm2:.1f} cm² of enhanced blood a slice, "
            f"in {blood.slices:.0%} of the slices",
        )
    return None
