"""What a label map leaves out: tissue between the labels, by CT number where there is a CT, else by where it lies."""

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from s2ldm_core.body import body_mask
from train.anatomy.names import CODES

_GAS_HU, _FAT_HU, _BONE_HU = -300.0, -30.0, 200.0
_CAVITY = (
    "liver",
    "spleen",
    "stomach",
    "small_bowel",
    "colon",
    "kidney_right",
    "kidney_left",
    "renal_cortex",
    "bladder",
    "pancreas",
    "aorta",
    "ivc",
    "iliac_artery",
    "iliac_vein",
    "portal_vein",
    "gallbladder",
    "prostate",
    "uterus",
    "visceral_artery",
)
_FAT = ("subcutaneous_fat", "visceral_fat", "intermuscular_fat", "mediastinal_fat", "skin", "inside", "air")
_WALL_MM = 7.0
_CRUS_MM = 12.0
_SKIN_MM = 4.0
# Half the width from which a mass between the organs is no vessel.
_THICK_MM = 4.0


def complete(codes: np.ndarray, spacing_mm: tuple[float, float, float], *, ct_hu: np.ndarray | None) -> np.ndarray:
    """Give every voxel of the body a structure; codes (D, H, W) of `CODES`, the result is a new array.

    With a CT (any phase) unlabelled tissue is gas, fat, soft tissue or bone by its HU; without, it is fat, and the vertebral canal holds
    the spinal cord in its fluid.
    """
    out = codes.copy()
    labelled = out != 0
    body = _hull_by_slice(labelled) if ct_hu is None else body_mask(ct_hu, spacing_mm) | labelled
    unlabelled = body & (~labelled | (out == CODES["inside"]))
    if ct_hu is not None:
        smooth = ndimage.gaussian_filter(ct_hu.astype(np.float32), 0.5)
        out[unlabelled & (smooth < _GAS_HU)] = CODES["bowel_gas"]
        out[unlabelled & (smooth >= _GAS_HU) & (smooth < _FAT_HU)] = CODES["inside"]
        out[unlabelled & (smooth >= _FAT_HU) & (smooth <= _BONE_HU)] = CODES["soft"]
        out[unlabelled & (smooth > _BONE_HU)] = CODES["pelvic_bone"]
    else:
        out[unlabelled] = CODES["inside"]
    _fill_canal(out, spacing_mm)
    fat = out == CODES["inside"]
    if fat.any():
        within = _hull_by_slice(~np.isin(out, [CODES[name] for name in _FAT]))
        out[fat & within] = CODES["visceral_fat"]
        out[fat & ~within] = CODES["subcutaneous_fat"]
    return out


def _fill_canal(codes: np.ndarray, spacing_mm: tuple[float, float, float]) -> None:
    """Holes that vertebrae close in a slice hold fluid and, in their middle, the cord."""
    if (codes == CODES["spinal_cord"]).any():
        return
    bone = codes == CODES["vertebra"]
    for index in np.flatnonzero(bone.any(axis=(1, 2))):
        ring = ndimage.binary_closing(np.pad(bone[index], 6), iterations=max(1, round(3.0 / spacing_mm[1])))[6:-6, 6:-6]
        hole = (
            ndimage.binary_fill_holes(ring)
            & ~bone[index]
            & np.isin(codes[index], (0, CODES["inside"], CODES["visceral_fat"]))
        )
        parts, count = ndimage.label(hole)
        if count:
            largest = parts == 1 + int(np.argmax(ndimage.sum_labels(hole, parts, range(1, count + 1))))
            if 40.0 < np.count_nonzero(largest) * spacing_mm[1] * spacing_mm[2] < 700.0:
                codes[index][largest] = CODES["csf"]
                middle = ndimage.distance_transform_edt(largest, sampling=spacing_mm[1:]) > 3.5
                codes[index][middle] = CODES["spinal_cord"]


def divide_soft(codes: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Divide unnamed soft tissue: skin, body wall, crura, thick masses between the organs, and thin strands there (vessels).

    The strands are given the code ``strand``; returns a new array.
    """
    out = codes.copy()
    soft = out == CODES["soft"]
    if not soft.any():
        return out
    cavity = np.isin(out, [CODES[name] for name in _CAVITY])
    hull = _hull_by_slice(cavity)
    depth = ndimage.distance_transform_edt(np.pad(hull, ((1, 1), (0, 0), (0, 0)), mode="edge"), sampling=spacing_mm)[
        1:-1
    ]
    inside = depth > _WALL_MM
    bone = np.isin(out, [CODES[name] for name in ("vertebra", "rib", "pelvic_bone", "long_bone", "dense")])
    to_spine = (
        ndimage.distance_transform_edt(out != CODES["vertebra"], sampling=spacing_mm)
        if (out == CODES["vertebra"]).any()
        else None
    )
    skin_depth = ndimage.distance_transform_edt(
        np.pad(out != 0, ((1, 1), (0, 0), (0, 0)), mode="edge"), sampling=spacing_mm
    )[1:-1]
    thick = ndimage.distance_transform_edt(soft | bone, sampling=spacing_mm) > _THICK_MM
    thick = ndimage.distance_transform_edt(~thick, sampling=spacing_mm) <= _THICK_MM
    out[soft] = CODES["oblique_muscles"]
    out[soft & (skin_depth < _SKIN_MM)] = CODES["skin"]
    out[soft & inside & thick] = CODES["pelvic_soft_tissue"]
    out[soft & inside & ~thick] = CODES["strand"]
    pelvis = np.any(np.isin(out, [CODES["bladder"], CODES["prostate"], CODES["uterus"]]), axis=(1, 2), keepdims=True)
    # Between bladder and pelvic wall lie seminal vesicles, ligaments and plexus rather than single vessels.
    out[soft & inside & pelvis] = CODES["pelvic_soft_tissue"]
    if to_spine is not None:
        out[soft & inside & (to_spine < _CRUS_MM)] = CODES["diaphragm"]
    return out


def _hull_by_slice(mask: np.ndarray) -> np.ndarray:
    """The convex hull of every slice's true pixels; a slice with too few of them stays empty."""
    out = np.zeros_like(mask)
    rows, columns = np.arange(mask.shape[1]), np.arange(mask.shape[2])
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        points = np.argwhere(mask[index] & ~ndimage.binary_erosion(mask[index]))
        if len(points) < 4:
            continue
        try:
            a, b, c = ConvexHull(points).equations.T  # inside: a row + b column + c <= 0
        except QhullError:  # all pixels on one line
            continue
        flat = np.abs(b) < 1e-9
        across = -(rows[:, None] * a + c) / np.where(flat, 1.0, b)
        right = np.where(b > 1e-9, across, np.inf).min(axis=1)
        left = np.where(b < -1e-9, across, -np.inf).max(axis=1)
        beyond = (flat & (rows[:, None] * a + c > 1e-3)).any(axis=1)
        right[beyond] = -np.inf
        out[index] = (columns >= left[:, None] - 1e-3) & (columns <= right[:, None] + 1e-3)
    return out
