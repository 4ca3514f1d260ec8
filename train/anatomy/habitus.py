"""Body habitus: another layer of subcutaneous fat over the same patient, and the circle of the scanner's field of view."""

import numpy as np
from scipy import ndimage

from s2ldm_core.phantom import Patient
from s2ldm_core.phantom.fields import SplineField
from s2ldm_core.phantom.patient import stream
from train.anatomy.canvas import MapCanvas
from train.anatomy.names import CODES

_THINNEST_MM = 3.0
_BRIDGED_MM = 24.0
_SMOOTH_MM = 14.0


def refit_fat(canvas: MapCanvas, patient: Patient, *, seed: int) -> None:
    """Make the subcutaneous layer of a canvas of structures as thick as this patient's, keeping where it is thick and where thin.

    The layer's local thickness (of its voxels: way in + way out) is stretched by one factor, which a smooth random field varies; outside
    the body it grows from the nearest skin. Muscles, organs and bones stay.
    """
    rng = stream(seed, "anatomy habitus")
    fat = np.isin(canvas.structures, [CODES["subcutaneous_fat"], CODES["skin"]])
    body = canvas.structures != 0
    # Fat between the organs is none of the layer, whatever a map calls it; strands of fascia within the layer belong to it.
    layer = body & ~_closed(_trunk(body & ~fat), canvas.spacing_mm)
    if np.count_nonzero(layer) < 2000:
        return
    inner = body & ~layer
    into, out = _depth(~inner, canvas.spacing_mm), _depth(body, canvas.spacing_mm)
    thickness = np.where(layer, into + out, 0.0)
    skin = layer & (out < 1.6 * max(canvas.spacing_mm[1:]))
    present = float(np.median(thickness[skin])) if skin.any() else float(np.median(thickness[layer]))
    factor = float(np.clip(max(patient.subcutaneous_fat_mm, _THINNEST_MM) / max(present, 1.0), 0.35, 2.2))
    away, nearest = ndimage.distance_transform_edt(~skin, sampling=canvas.spacing_mm, return_indices=True)
    # Smoothed along the skin, or every voxel's own way in would roughen the new one.
    sigma = [_SMOOTH_MM / step for step in canvas.spacing_mm]
    weight = ndimage.gaussian_filter(skin.astype(np.float32), sigma, truncate=2.0)
    mean = ndimage.gaussian_filter(np.where(skin, thickness, np.float32(0)), sigma, truncate=2.0) / np.maximum(
        weight, 1e-3
    )
    local = mean[tuple(nearest)]
    wave = SplineField(rng, spacing_mm=(90.0, 70.0, 70.0)).grid(canvas.axes)[0]
    limit = np.clip(local * factor * (1.0 + 0.12 * wave), _THINNEST_MM, 70.0)
    # Depth from the muscles outwards: inside the layer measured, outside it the whole layer and the way to the skin.
    height = np.where(body, into, local + away.astype(np.float32))
    stays = inner | ((height < limit) & (layer | ~body))
    for index in np.flatnonzero(
        (body & ~stays).any(axis=(1, 2))
    ):  # a layer thins from its skin inwards, never to a hole
        stays[index] |= body[index] & ndimage.binary_fill_holes(stays[index])
    canvas.clear(body & ~stays)
    canvas.fill(
        (slice(None), slice(None), slice(None)),
        np.where(body & stays, -9.0, limit - height),
        "subcutaneous_fat",
        over=("air",),
    )
    canvas.structures = canvas.top.copy()


def _depth(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Distance (mm) to what is outside the mask, which does not end with the first and last slice."""
    padded = np.pad(mask, ((1, 1), (0, 0), (0, 0)), mode="edge")
    depth: np.ndarray = ndimage.distance_transform_edt(padded, sampling=spacing_mm)[1:-1].astype(np.float32)
    return depth


def _trunk(mask: np.ndarray) -> np.ndarray:
    """The large connected parts of a mask, without what hangs on them by a thread."""
    across = np.zeros((3, 3, 3), bool)
    across[1] = ndimage.generate_binary_structure(2, 1)
    opened = ndimage.binary_opening(mask, across, iterations=2)
    parts, count = ndimage.label(opened)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = (sizes > 0.05 * sizes.max())[parts]
    return kept | (mask & ndimage.binary_dilation(kept, across, iterations=3))


def _closed(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """The mask with what it encloses, slice by slice, gaps in the wall (as between the rectus muscles) bridged."""
    closed = np.zeros_like(mask)
    margin = int(np.ceil(_BRIDGED_MM / min(spacing_mm[1:]))) + 1
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        grown = ndimage.distance_transform_edt(~np.pad(mask[index], margin), sampling=spacing_mm[1:]) <= _BRIDGED_MM
        shrunk = ndimage.distance_transform_edt(ndimage.binary_fill_holes(grown), sampling=spacing_mm[1:]) > _BRIDGED_MM
        closed[index] = shrunk[margin:-margin, margin:-margin] | mask[index]
    return closed


def field_of_view(canvas: MapCanvas, *, seed: int, known_radius_mm: float | None) -> np.ndarray | None:
    """(H, W) bool of what the scanner reconstructed, or None for a field wider than the body: a circle that may cut flanks or arms.

    known_radius_mm : of the circle within which the subject's map has anatomy, when the map itself is cut.
    """
    rng = stream(seed, "anatomy field of view")
    if known_radius_mm is not None:
        y, x = (np.asarray(axis, float) for axis in canvas.axes[1:])
        known: np.ndarray = np.hypot(y[:, None], x[None, :]) < known_radius_mm * float(rng.uniform(0.88, 0.97))
        return known
    if rng.random() > 0.2:
        return None
    body = np.flatnonzero((canvas.top != 0).any(axis=(0, 1)))
    half = 0.5 * (body[-1] - body[0]) * canvas.spacing_mm[2] if body.size else 0.0
    radius = float(rng.uniform(0.82, 1.1)) * min(half, 240.0)
    y, x = (np.asarray(axis, float) + float(rng.normal(0, 8)) for axis in canvas.axes[1:])
    inside: np.ndarray = np.hypot(y[:, None], x[None, :]) < radius
    return inside
