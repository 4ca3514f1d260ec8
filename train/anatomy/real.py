"""A subject's real contrast scan on a training grid, and the same without its enhancement."""

from collections.abc import Mapping
from typing import Final, Literal

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
# Mean gain of aorta and portal vein by which a usual dose is told in the venous phase, when blood is mixed; HU. The digital patients of
# `s2ldm_core.phantom` have 117, four real ones 82 to 109.
_USUAL_VENOUS_HU: Final = 110.0
_MIXED = ("aorta", "portal_vein")
_MOST, _LEAST = 1.6, 0.6

Dose = Literal["scanned", "usual"]
"""What a pair's target is: the scan as it is, but for far too large a gain, or with the gain of a usual dose."""


class RealScan:
    """Attributes
    ----------
    phase : of the scan.
    native_hu, gain_hu : (D, H, W) float32; the native one + gain / dose is the real scan.
    dose : what the real gain was multiplied with; at most 1 with ``dose="scanned"``.
    valid : (D, H, W) bool.
    """

    def __init__(
        self,
        subject: Subject,
        canvas: MapCanvas,
        indices: np.ndarray,
        *,
        seed: int,
        strength: float = 1.0,
        dose: Dose = "scanned",
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
        self.dose = _allowed(found.measured_hu, self.phase)
        if dose == "usual" and self.dose == 1.0:
            self.dose = _to_usual(found.measured_hu, self.phase)
        self.gain_hu *= np.float32(self.dose)
        self.valid: np.ndarray = sample_linear((~found.valid).astype(np.float32), indices) < 0.3


def _allowed(measured_hu: Mapping[str, float], phase: str) -> float:
    """What brings far too large a gain of blood down to the largest that is kept; 1 where it is not."""
    strongest = max((measured_hu[name] for name in _BLOOD if name in measured_hu), default=0.0)
    return min(1.0, _LARGEST_BLOOD_GAIN_HU[phase] / max(strongest, 1.0))


def _to_usual(measured_hu: Mapping[str, float], phase: str) -> float:
    """What makes the gain that of a usual dose. Arterial scans stay as they are: their blood tells the second more than the dose."""
    mixed = [measured_hu[name] for name in _MIXED if name in measured_hu]
    if phase != "venous" or len(mixed) < len(_MIXED):
        return 1.0
    return float(np.clip(_USUAL_VENOUS_HU / max(float(np.mean(mixed)), 1.0), _LEAST, _MOST))
