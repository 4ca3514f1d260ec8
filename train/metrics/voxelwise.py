"""Voxel-wise errors of a synthetic phase against the acquired one: MAE, RMSE, PSNR, NMAE and NMSE, each under its own name.

Arrays are ``(D, H, W)`` HU of one grid. One pass gathers sums; every metric is a property of those sums, so that all of them are of the
same voxels.
"""

import math
from dataclasses import dataclass

import numpy as np

from train.metrics.window import PAPER_WINDOW_HU, Window, check_same_shape, from_zero, slabs


@dataclass(frozen=True, kw_only=True)
class VoxelErrors:
    """Sums over the voxels used (Ω) of e = prediction − target; *clipped*: both clipped to the window first."""

    count: int
    signed_hu: float
    absolute_hu: float
    squared_hu: float
    clipped_absolute_hu: float
    clipped_squared_hu: float
    target_sum: float
    """Σ y of the clipped target on [0, 1]."""
    target_energy: float
    """Σ y² of the clipped target on [0, 1]."""
    window_hu: Window

    @property
    def range_hu(self) -> float:
        """R, the width of the window."""
        return self.window_hu[1] - self.window_hu[0]

    @property
    def bias_hu(self) -> float:
        """Mean error, unclipped."""
        return self.signed_hu / self.count if self.count else math.nan

    @property
    def mae_hu(self) -> float:
        """Mean absolute error, unclipped."""
        return self.absolute_hu / self.count if self.count else math.nan

    @property
    def rmse_hu(self) -> float:
        """Root mean squared error, unclipped."""
        return math.sqrt(self.squared_hu / self.count) if self.count else math.nan

    @property
    def mae_window_hu(self) -> float:
        """Mean absolute error of the clipped images."""
        return self.clipped_absolute_hu / self.count if self.count else math.nan

    @property
    def rmse_window_hu(self) -> float:
        """Root mean squared error of the clipped images."""
        return math.sqrt(self.clipped_squared_hu / self.count) if self.count else math.nan

    @property
    def psnr_db(self) -> float:
        """20 log10(R / RMSE) of the clipped images; infinite for equal ones."""
        rmse = self.rmse_window_hu
        return math.inf if rmse == 0 else 20 * math.log10(self.range_hu / rmse)

    @property
    def nmae_range(self) -> float:
        """MAE / R of the clipped images: the NMAE of the RegGAN and CTA-GAN code."""
        return self.mae_window_hu / self.range_hu

    @property
    def nmae_rel(self) -> float:
        """Σ|e| / Σ|y| on [0, 1]: the definition that fits the level of the error column of S2LDM's tables."""
        return self.clipped_absolute_hu / self.range_hu / self.target_sum if self.target_sum else math.nan

    @property
    def nmse_energy(self) -> float:
        """Σe² / Σy² on [0, 1]: what the name NMSE of S2LDM's tables says."""
        return self.clipped_squared_hu / self.range_hu**2 / self.target_energy if self.target_energy else math.nan


def voxel_errors(
    prediction: np.ndarray, target: np.ndarray, *, where: np.ndarray | None = None, window_hu: Window = PAPER_WINDOW_HU
) -> VoxelErrors:
    """Gather the sums over the voxels ``where`` is true (all of them without it); slab by slab, in float64.

    Raises
    ------
    ValueError
        Shapes differ, or the window is empty.
    """
    check_same_shape(prediction, target, where)
    totals = np.zeros(7)
    count = 0
    for slab in slabs(prediction.shape):
        p, y = prediction[slab], target[slab]
        if where is None:
            p, y = p.ravel(), y.ravel()
        else:
            p, y = p[where[slab]], y[where[slab]]
        count += p.size
        error = p.astype(np.float64) - y
        unit = from_zero(y, window_hu)
        clipped = from_zero(p, window_hu) - unit
        unit /= window_hu[1] - window_hu[0]
        totals += (
            error.sum(),
            np.abs(error).sum(),
            error @ error,
            np.abs(clipped).sum(),
            clipped @ clipped,
            unit.sum(),
            unit @ unit,
        )
    signed, absolute, squared, clipped_absolute, clipped_squared, target_sum, target_energy = (
        float(value) for value in totals
    )
    return VoxelErrors(
        count=count,
        signed_hu=signed,
        absolute_hu=absolute,
        squared_hu=squared,
        clipped_absolute_hu=clipped_absolute,
        clipped_squared_hu=clipped_squared,
        target_sum=target_sum,
        target_energy=target_energy,
        window_hu=window_hu,
    )


def mae_hu(prediction: np.ndarray, target: np.ndarray, *, where: np.ndarray) -> float:
    """Mean absolute error in HU over the voxels ``where`` is true, unclipped; NaN where there is none."""
    return voxel_errors(prediction, target, where=where).mae_hu


def psnr(
    prediction: np.ndarray, target: np.ndarray, *, window_hu: Window = PAPER_WINDOW_HU, where: np.ndarray | None = None
) -> float:
    """20 log10(R / RMSE), both clipped to the window; infinite for equal volumes.

    Over the whole volume without ``where``: air on both sides then counts as a perfect answer (60 % of it adds 4 dB).
    """
    return voxel_errors(prediction, target, where=where, window_hu=window_hu).psnr_db
