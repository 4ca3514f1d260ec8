"""What contrast medium did to a scan."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Enhancement:
    """What contrast medium did to one scan; arrays (D, H, W) on its grid.

    Attributes
    ----------
    share : float16, 0 .. 1.1, the part of the voxel that takes up contrast.
    delta_hu : float16, what that part gained.
    valid : bool; False where it cannot be told.
    measured_hu : median gain by region or vessel.
    """

    share: np.ndarray
    delta_hu: np.ndarray
    valid: np.ndarray
    measured_hu: Mapping[str, float]

    def gain_hu(self, shift: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
        """The gain (D, H, W) float32, HU; the tissues' borders moved by half a voxel along each axis where ``shift`` is 1 or -1."""
        delta = self.delta_hu.astype(np.float32)
        for axis, step in enumerate(shift):
            if step:
                delta += np.roll(delta, step, axis=axis)
                delta *= np.float32(0.5)
        delta *= self.share
        return delta
