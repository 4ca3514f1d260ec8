"""How far the slices of a stack lie from a regular grid: gantry tilt, uneven increments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceOffsets:
    """Where each slice of an array lies, told from the regular, unsheared grid that the array's affine describes.

    The voxels stay the scanner's own; whoever resamples reads the places from here (`s2ldm_core.resample`).

    Attributes
    ----------
    mm
        ``(N, 3)`` float64: how far slice ``k`` lies from its place on the grid, in mm along the array's axes
        ``(D, H, W)``.
    axis
        Array axis along which the slices are counted.
    """

    mm: np.ndarray
    axis: int = 0

    def cropped(self, box: tuple[slice, slice, slice]) -> SliceOffsets:
        """Those of an array cut down to ``box``."""
        return SliceOffsets(mm=self.mm[box[self.axis]], axis=self.axis)

    def turned(self, permutation: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> SliceOffsets:
        """Those of the array with its axes permuted, then reversed (see `s2ldm_core.volume.Undo`)."""
        axis = permutation.index(self.axis)
        mm = self.mm[:, permutation] * np.where(flips, -1.0, 1.0)
        return SliceOffsets(mm=mm[::-1] if flips[axis] else mm, axis=axis)

    def along_mm(self, step_mm: float) -> np.ndarray:
        """``(N,)``: the slices' places along their axis, from the middle of the grid, whose step is given."""
        count = len(self.mm)
        along: np.ndarray = (np.arange(count) - (count - 1) / 2) * step_mm + self.mm[:, self.axis]
        return along
