"""Gradient error: whether edges are as steep as the acquired phase's, without weights of any perceptual network."""

import numpy as np

from train.metrics.window import check_same_shape, slabs


def gradient_error(
    prediction: np.ndarray,
    target: np.ndarray,
    *,
    spacing_mm: tuple[float, float, float],
    where: np.ndarray | None = None,
) -> float:
    """Mean of ``| |∇p| − |∇y| |`` in HU/mm over the voxels ``where`` is true; unclipped, central differences (one-sided at the faces).

    NaN where there is no voxel.

    Raises
    ------
    ValueError
        Shapes differ, or an axis has fewer than two voxels.
    """
    check_same_shape(prediction, target, where)
    total, count = 0.0, 0
    depth = len(prediction)
    for slab in slabs(prediction.shape):
        # One slice more on either side, so that the slabs' borders do not show.
        read = slice(max(0, slab.start - 1), min(depth, slab.stop + 1))
        keep = slice(slab.start - read.start, slab.stop - read.start)
        error = _magnitude(prediction[read], spacing_mm)[keep]
        error -= _magnitude(target[read], spacing_mm)[keep]
        np.abs(error, out=error)
        mask = None if where is None else where[slab]
        total += float(error.sum(dtype=np.float64) if mask is None else error.sum(dtype=np.float64, where=mask))
        count += error.size if mask is None else int(np.count_nonzero(mask))
    return total / count if count else float("nan")


def _magnitude(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """``|∇|`` in HU/mm, float32."""
    hu = np.asarray(hu, dtype=np.float32)
    squared = np.zeros_like(hu)
    for axis, spacing in enumerate(spacing_mm):
        difference = np.gradient(hu, np.float32(spacing), axis=axis)
        squared += difference * difference
    return np.sqrt(squared, out=squared)
