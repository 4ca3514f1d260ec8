"""Image metrics of a synthetic phase against the acquired one. Arrays are ``(D, H, W)`` HU of one grid.

Definitions and traps: the range is fixed by the window and never taken from an image; values are clipped to the window before PSNR and
SSIM, and SSIM sees data on [0, R].
"""

from __future__ import annotations

import math

import numpy as np
from skimage.metrics import structural_similarity

Window = tuple[float, float]
PAPER_WINDOW_HU: Window = (-200.0, 200.0)


def mae_hu(prediction: np.ndarray, target: np.ndarray, *, where: np.ndarray) -> float:
    """Mean absolute error in HU over the voxels ``where`` is true, unclipped."""
    return float(np.abs(prediction[where] - target[where], dtype=np.float64).mean())


def psnr(prediction: np.ndarray, target: np.ndarray, *, window_hu: Window = PAPER_WINDOW_HU) -> float:
    """20 log10(R / RMSE) over the whole volume, both clipped to the window; infinite for equal volumes."""
    low, high = window_hu
    error = np.clip(prediction, low, high).astype(np.float64) - np.clip(target, low, high)
    rmse = math.sqrt(float(np.mean(error**2)))
    return math.inf if rmse == 0 else 20 * math.log10((high - low) / rmse)


def ssim_axial(prediction: np.ndarray, target: np.ndarray, *, window_hu: Window = PAPER_WINDOW_HU) -> float:
    """Mean over axial slices of 2-D SSIM (Gaussian σ 1.5, 11 × 11), on data clipped and shifted to [0, R]."""
    low, high = window_hu
    values = [
        structural_similarity(
            np.clip(p, low, high).astype(np.float64) - low,
            np.clip(t, low, high).astype(np.float64) - low,
            data_range=high - low,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for p, t in zip(prediction, target, strict=True)
    ]
    return float(np.mean(values))


def enhancement(after: np.ndarray, before: np.ndarray, *, where: np.ndarray) -> float | None:
    """Mean change in HU over an organ's voxels; ``None`` when the organ is not in the volume."""
    if not where.any():
        return None
    return float((after[where].astype(np.float64) - before[where]).mean())
