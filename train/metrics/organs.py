"""What contrast is about: mean HU of organs, and how much of their true enhancement a system gives back."""

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import distance_transform_edt

from train.metrics.window import check_same_shape, slabs


def enhancement(after: np.ndarray, before: np.ndarray, *, where: np.ndarray) -> float | None:
    """Mean change in HU over an organ's voxels; ``None`` when the organ is not in the volume."""
    if not where.any():
        return None
    return float((after[where].astype(np.float64) - before[where]).mean())


def organ_voxels(labels: np.ndarray, organs: Mapping[str, int]) -> dict[str, int]:
    """Number of voxels of every organ in ``(D, H, W)`` uint8 ``labels``; those with none are left out."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return {organ: int(counts[value]) for organ, value in organs.items() if counts[value]}


def organ_cores(
    labels: np.ndarray, *, spacing_mm: tuple[float, float, float], margin_mm: float = 2.0, fewest: int = 1
) -> np.ndarray:
    """``labels`` without the voxels at most ``margin_mm`` from another label in their slice, where blur mixes two tissues.

    An organ that keeps fewer than ``fewest`` voxels keeps all of them: a thin wall has no core.

    Parameters
    ----------
    labels
        ``(D, H, W)`` uint8.
    spacing_mm
        (slices, rows, columns).
    """
    _, dy, dx = spacing_mm
    cores = np.zeros_like(labels)
    for plane, core in zip(labels, cores, strict=True):
        edge = np.zeros(plane.shape, dtype=bool)
        for axis in (0, 1):
            ahead, behind = np.moveaxis(plane, axis, 0)[1:], np.moveaxis(plane, axis, 0)[:-1]
            differs = ahead != behind
            turned = np.moveaxis(edge, axis, 0)
            turned[1:] |= differs
            turned[:-1] |= differs
        if edge.any():  # an edge voxel is one pixel from the other label
            kept = distance_transform_edt(~edge, sampling=(dy, dx)) + min(dy, dx) > margin_mm
            core[kept & ~edge] = plane[kept & ~edge]
        else:
            core[...] = plane
    lost = np.bincount(cores.ravel(), minlength=256) < fewest
    restored = lost[labels]
    cores[restored] = labels[restored]
    return cores


def organ_means(hu: np.ndarray, labels: np.ndarray, organs: Mapping[str, int]) -> dict[str, float]:
    """Mean HU of every organ that has voxels, unclipped; ``(D, H, W)`` HU and uint8 labels."""
    check_same_shape(hu, labels)
    sums, counts = np.zeros(256), np.zeros(256, dtype=np.int64)
    for slab in slabs(hu.shape):
        flat = labels[slab].ravel()
        sums += np.bincount(flat, weights=hu[slab].ravel(), minlength=256)
        counts += np.bincount(flat, minlength=256)
    return {organ: float(sums[value] / counts[value]) for organ, value in organs.items() if counts[value]}


def recovery(predicted_change_hu: float, true_change_hu: float, *, smallest_hu: float = 1.0) -> float | None:
    """Predicted over true mean change; ``None`` where the truth hardly changes (less than ``smallest_hu`` either way)."""
    return None if abs(true_change_hu) <= smallest_hu else predicted_change_hu / true_change_hu
