"""A subject's real contrast scan on a training grid, and the same without its enhancement."""

from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from s2ldm_core.phantom.patient import stream
from train.anatomy.canvas import MapCanvas
from train.anatomy.deformation import sample_ct, sample_linear
from train.anatomy.subject import Subject

# How often the labels are moved by half a voxel, so that no network learns where their rims lie.
_SHIFTED = 0.3
_GAIN_SPREAD = 0.03
# Largest gain of blood that is kept (HU), as of a usual dose at 100 to 120 kVp. A native scan does not tell the dose, and pairs of a much
# larger one teach a mean that fits nobody.
_LARGEST_BLOOD_GAIN_HU = {"arterial": 360.0, "venous": 170.0}
_BLOOD = ("aorta", "pulmonary_artery", "heart", "portal_vein", "ivc")


class RealScan:
    """Attributes
    ----------
    phase : of the scan.
    native_hu, gain_hu : (D, H, W) float32; the native one + gain / dose is the real scan.
    dose : at most 1, what the real gain was multiplied with to be that of a usual dose.
    valid : (D, H, W) bool.
    """

    def __init__(
        self, subject: Subject, canvas: MapCanvas, indices: np.ndarray, *, seed: int, strength: float = 1.0
    ) -> None:
        assert subject.scan_hu is not None  # noqa: S101 - refused before
        assert subject.scan_phase is not None  # noqa: S101
        self.phase: Literal["arterial", "venous"] = subject.scan_phase
        found = subject.enhancement
        rng = stream(seed, "anatomy real scan")
        shift = rng.integers(-1, 2, 3) if rng.random() < _SHIFTED and strength else np.zeros(3, int)
        gain = found.gain_hu((int(shift[0]), int(shift[1]), int(shift[2])))
        gain *= np.float32(1.0 + strength * float(np.clip(rng.normal(0.0, _GAIN_SPREAD), -0.07, 0.07)))
        kernel = float(rng.uniform(0.25, 0.6))
        sigma = [
            kernel * step / own if step > 1.2 * own else 0.0
            for step, own in zip(canvas.spacing_mm, subject.spacing_mm, strict=True)
        ]
        scan = sample_ct(gaussian_filter(subject.scan_hu, sigma), indices)
        self.gain_hu = sample_ct(gaussian_filter(gain, sigma), indices)
        self.gain_hu[scan <= -1000.0] = 0.0
        self.native_hu = scan - self.gain_hu
        strongest = max((found.measured_hu[name] for name in _BLOOD if name in found.measured_hu), default=0.0)
        self.dose = min(1.0, _LARGEST_BLOOD_GAIN_HU[self.phase] / max(strongest, 1.0))
        self.gain_hu *= np.float32(self.dose)
        self.valid: np.ndarray = sample_linear((~found.valid).astype(np.float32), indices) < 0.3
