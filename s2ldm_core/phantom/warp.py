"""The deformation between the patient (world, mm) and the atlas in which the anatomy is described."""

import numpy as np

from s2ldm_core.phantom.fields import Axes, SplineField
from s2ldm_core.phantom.patient import Patient, stream


class Warp:
    """atlas = (world - shift) / scale + d(world), d a smooth random displacement; all coordinates are (z, y, x) mm."""

    def __init__(self, patient: Patient, *, seed: int) -> None:
        rng = stream(seed, "warp")
        height = patient.height_cm / 175.0
        build = (1.0 if patient.sex == "M" else 0.93) * (1.0 + 0.006 * (patient.bmi - 25.0))
        self.scale = np.array([height, build, build]) * (1.0 + rng.normal(0, 0.025, 3))
        self._shift = np.zeros(3)
        self._coarse = SplineField(rng, spacing_mm=(90.0, 75.0, 75.0), components=3)
        self._fine = SplineField(rng, spacing_mm=(30.0, 24.0, 24.0), components=3)
        self._coarse_mm = np.array([4.6, 3.5, 4.0])
        self._fine_mm = np.array([1.3, 1.2, 1.2])
        self._reach_mm = 21.0
        self._roll = float(np.clip(np.radians(rng.normal(0, 1.8)), -0.08, 0.08))
        self._bend = rng.normal(0, 4.0), rng.uniform(0, 2 * np.pi), rng.uniform(220, 420)

    def _lateral(self, z: np.ndarray) -> np.ndarray:
        """Return a mild scoliosis, mm to the left."""
        amplitude, phase, period = self._bend
        return amplitude * np.sin(2 * np.pi * z / period + phase)

    def atlas(self, axes: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the atlas coordinates (z, y, x) of the grid, each (D, H, W) float32."""
        coarse, fine = self._coarse.grid(axes), self._fine.grid(axes)
        out = []
        for axis in range(3):
            moved = coarse[axis]
            moved *= np.float32(self._coarse_mm[axis])
            fine[axis] *= np.float32(self._fine_mm[axis])
            moved += fine[axis]
            line = ((axes[axis] - self._shift[axis]) / self.scale[axis]).astype(np.float32)
            moved += line.reshape([-1 if a == axis else 1 for a in range(3)])
            out.append(moved)
        out[2] += self._lateral(axes[0]).astype(np.float32)[:, None, None]
        # The patient lies rolled by a few degrees.
        y, x = (axes[1] * self._roll).astype(np.float32)[:, None], (axes[2] * self._roll).astype(np.float32)[None, :]
        out[1] -= x
        out[2] += y
        return out[0], out[1], out[2]

    def world(self, points: np.ndarray) -> np.ndarray:
        """Return the world points whose atlas coordinates are `points` (n, 3), by fixed-point iteration."""
        guess = points * self.scale + self._shift
        for _ in range(3):
            moved = self._coarse.at(guess).T * self._coarse_mm + self._fine.at(guess).T * self._fine_mm
            moved[:, 2] += self._lateral(guess[:, 0]) + self._roll * guess[:, 1]
            moved[:, 1] -= self._roll * guess[:, 2]
            guess = (points - moved) * self.scale + self._shift
        return guess

    def world_bounds(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return world bounds that contain the atlas box (low, high)."""
        low, high = np.asarray(low) * self.scale + self._shift, np.asarray(high) * self.scale + self._shift
        widest = np.maximum(np.abs(low), np.abs(high)) + self._reach_mm
        reach = self._reach_mm + abs(self._roll) * np.array([0.0, widest[2], widest[1]])
        return low - reach, high + reach
