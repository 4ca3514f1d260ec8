"""Where the body is in a CT: a mask without table and air, and the box around it."""

import numpy as np
from scipy import ndimage

#: Between fat (-120 HU) and lung (-700 HU): skin, fat and everything denser is body.
BODY_THRESHOLD_HU = -300.0
_COARSE_MM = 4.0
# Thinner sheets than twice this (table tops, blankets, tubes, clothes) vanish in the opening.
_OPENING_MM = 8.0
# Arms and legs are bodies of their own beside the trunk; anything smaller is not.
_SMALLEST_PART = 0.04
_SMALLEST_BODY_ML = 20.0
#: Between outside air (-1000 HU) and lung (-900 HU where it is emphysematous).
_AIR_HU = -950.0

Box = tuple[slice, slice, slice]


def body_box(
    hu: np.ndarray,
    spacing_mm: tuple[float, float, float],
    *,
    margin_mm: float = 10.0,
    padding: np.ndarray | None = None,
) -> Box:
    """Smallest box around the body, with a margin, as slices of ``(D, H, W)``.

    Parameters
    ----------
    hu
        ``(D, H, W)`` HU.
    spacing_mm
        ``(dz, dy, dx)``.
    margin_mm
        Kept around the body on each side, as far as the array reaches.
    padding
        ``(D, H, W)`` bool, outside the scanned field (see `Volume.padding`): never body.

    Returns
    -------
    tuple of three slices
        The whole array when no body is found.
    """
    coarse, factors = _coarse_body(hu, spacing_mm, padding)
    if not coarse.any():
        return (slice(0, hu.shape[0]), slice(0, hu.shape[1]), slice(0, hu.shape[2]))
    box: list[slice] = []
    for axis in range(3):
        occupied = np.flatnonzero(coarse.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = int(np.ceil(margin_mm / spacing_mm[axis]))
        start = int(occupied[0]) * factors[axis] - margin
        stop = (int(occupied[-1]) + 1) * factors[axis] + margin
        box.append(slice(max(0, start), min(hu.shape[axis], stop)))
    return box[0], box[1], box[2]


def body_mask(
    hu: np.ndarray, spacing_mm: tuple[float, float, float], *, padding: np.ndarray | None = None
) -> np.ndarray:
    """``(D, H, W)`` bool: the body with its lungs and gas, to the precision of a grid of about 4 mm.

    Arguments as for `body_box`; all false when no body is found.
    """
    coarse, factors = _coarse_body(hu, spacing_mm, padding)
    mask = coarse
    for axis in range(3):
        mask = np.repeat(mask, factors[axis], axis=axis)
    return mask[: hu.shape[0], : hu.shape[1], : hu.shape[2]]


def body_footprint(
    hu: np.ndarray, spacing_mm: tuple[float, float, float], *, padding: np.ndarray | None = None
) -> np.ndarray:
    """``(H, W)`` float32, 0 to 1: in which share of the slices the body is within 4 to 8 mm of a pixel.

    Made for keeping off the body, so what may be body counts: lung that the field of view cuts open, and whatever is
    dense where no part is large enough to be a body. Arguments as for `body_box`.
    """
    factors, spacing = _coarse_grid(spacing_mm)
    mean = _coarse_mean(hu, padding, factors)
    body = _body_of(mean, spacing)
    if not body.any():
        body = mean > BODY_THRESHOLD_HU
    for index, plane in enumerate(body):
        outside, count = ndimage.label(~plane)
        for part in range(1, count + 1):
            if np.median(mean[index][outside == part]) > _AIR_HU:
                body[index] |= outside == part
    # Two blocks: what fills its block in part only, such as the skin, may not count as dense.
    share: np.ndarray = ndimage.maximum_filter(body.mean(axis=0, dtype=np.float32), size=5)
    fine = np.repeat(np.repeat(share, factors[1], axis=0), factors[2], axis=1)
    return fine[: hu.shape[1], : hu.shape[2]]


def _coarse_body(
    hu: np.ndarray, spacing_mm: tuple[float, float, float], padding: np.ndarray | None
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Body on a grid coarser by whole factors, and those factors."""
    factors, spacing = _coarse_grid(spacing_mm)
    return _body_of(_coarse_mean(hu, padding, factors), spacing), factors


def _coarse_grid(spacing_mm: tuple[float, float, float]) -> tuple[tuple[int, int, int], tuple[float, ...]]:
    """Whole factors to a grid of about 4 mm, and its spacing."""
    factors = tuple(max(1, round(_COARSE_MM / spacing)) for spacing in spacing_mm)
    spacing = tuple(factor * size for factor, size in zip(factors, spacing_mm, strict=True))
    return (factors[0], factors[1], factors[2]), spacing


def _body_of(mean: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Body on the coarse grid, from its block means."""
    dense = mean > BODY_THRESHOLD_HU
    core = _opened(dense, spacing)
    parts, count = ndimage.label(core)
    if count == 0:
        return np.zeros_like(core)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    keep = sizes >= max(_SMALLEST_PART * sizes.max(), _SMALLEST_BODY_ML * 1000.0 / float(np.prod(spacing)))
    body = keep[parts]
    # Opening rounds the body off; what is dense within reach of its core belongs to it again.
    body = _grown(body, spacing) & dense
    for index in range(body.shape[0]):  # lungs and bowel gas are closed in within a slice, not in 3-D
        body[index] = ndimage.binary_fill_holes(body[index])
    return body


def _coarse_mean(hu: np.ndarray, padding: np.ndarray | None, factors: tuple[int, ...]) -> np.ndarray:
    """Block means of HU clipped to [-1000, 200], so that bone or metal does not outweigh air; slab by slab."""
    starts = [np.arange(0, size, factor) for size, factor in zip(hu.shape, factors, strict=True)]
    coarse = np.empty(tuple(len(start) for start in starts), dtype=np.float32)
    for index, first in enumerate(starts[0]):
        slab = np.clip(hu[first : first + factors[0]], -1000.0, 200.0).astype(np.float32, copy=False)
        if padding is not None:
            slab = np.where(padding[first : first + factors[0]], np.float32(-1000.0), slab)
        rows = np.add.reduceat(slab.mean(axis=0), starts[1], axis=0)
        coarse[index] = np.add.reduceat(rows, starts[2], axis=1)
    for axis in (1, 2):
        blocks = np.diff(np.append(starts[axis], hu.shape[axis])).astype(np.float32)
        coarse /= blocks[:, None] if axis == 1 else blocks
    return coarse


def _opened(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Opening with a disc in each slice; the edge continues outwards, so that a body cut by the field of view stays."""
    reach = max(1, round(_OPENING_MM / min(spacing[1:])))
    padded = np.pad(mask, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    opened = np.empty_like(padded)
    for index, plane in enumerate(padded):
        inside = ndimage.distance_transform_edt(plane, sampling=spacing[1:]) > _OPENING_MM
        opened[index] = _near(inside, spacing)
    return (opened & padded)[:, reach:-reach, reach:-reach]


def _grown(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    return np.stack([_near(plane, spacing) for plane in mask])


def _near(plane: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """What lies within the opening's radius of a slice's true pixels; nothing when it has none."""
    if not plane.any():
        return plane
    near: np.ndarray = ndimage.distance_transform_edt(~plane, sampling=spacing[1:]) <= _OPENING_MM
    return near
