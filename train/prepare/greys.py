"""What a registration looks at: two volumes on one spacing, their bodies, and HU turned into greys that guide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt

from s2ldm_core.body import body_mask
from s2ldm_core.volume import Volume
from train.prepare.images import image_of, reduced

#: Grid of the registration, mm. Half a voxel of it is far below what breathing moves.
GRID_MM: Final = (3.0, 2.5, 2.5)
_BONE_WINDOW_HU: Final = (100.0, 700.0)
# Native blood, muscle and liver lie above the first, cancellous bone and arterial blood mostly below the second.
FAT_TO_WATER_HU: Final = (-200.0, 20.0)
_BONE_HU: Final = (200.0, 700.0)
_BONE_GAIN: Final = 0.4
_SKELETON_HU: Final = 180.0
_SKELETON_REACH_MM: Final = 8.0
_SMALLEST_SKELETON: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both volumes on the registration's grid, with their bodies."""

    fixed: Volume
    moving: Volume
    body: np.ndarray
    moving_body: np.ndarray
    seed: int
    threads: int

    @classmethod
    def of(cls, fixed: Volume, moving: Volume, *, seed: int, threads: int) -> Pair:
        fixed, moving = reduced(fixed, GRID_MM), reduced(moving, GRID_MM)
        return cls(
            fixed=fixed,
            moving=moving,
            body=body_mask(fixed.hu, fixed.spacing_mm),
            moving_body=body_mask(moving.hu, moving.spacing_mm),
            seed=seed,
            threads=threads,
        )

    def images(self, grey: Callable[[np.ndarray], np.ndarray]) -> tuple[sitk.Image, sitk.Image]:
        """Both as greys; outside the body the darkest, because the table does not move with the patient."""
        pictures = []
        for volume, body in ((self.fixed, self.body), (self.moving, self.moving_body)):
            values = grey(volume.hu).astype(np.float32)
            values[~body] = values.min()
            pictures.append(image_of(volume, values))
        return pictures[0], pictures[1]

    def near_bone(self) -> np.ndarray:
        """``(D, H, W)`` bool: the fixed image's bones and what lies close to them; the body when there is hardly any."""
        bone = (self.fixed.hu > _SKELETON_HU) & self.body
        if bone.sum() < _SMALLEST_SKELETON * max(1, self.body.sum()):
            return self.body
        near: np.ndarray = distance_transform_edt(~bone, sampling=self.fixed.spacing_mm) < _SKELETON_REACH_MM
        return near & self.body


def bones(hu: np.ndarray) -> np.ndarray:
    return np.clip(hu, *_BONE_WINDOW_HU)


def outlines(hu: np.ndarray) -> np.ndarray:
    """HU up to water, one grey from water to bone, then bone: the same with and without contrast."""
    low, high = _BONE_HU
    return np.clip(hu, *FAT_TO_WATER_HU) + _BONE_GAIN * (np.clip(hu, low, high) - low)


def fat_and_gas(hu: np.ndarray) -> np.ndarray:
    return np.clip(hu, *FAT_TO_WATER_HU)
