"""A subject's real contrast scan on a training grid, and the same without its enhancement."""

from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from s2ldm_core.phantom import ORGANS
from s2ldm_core.phantom.kinetics import Kinetics
from s2ldm_core.phantom.patient import stream
from train.anatomy.canvas import MapCanvas
from train.anatomy.deformation import sample_ct, sample_linear
from train.anatomy.regions import BONE, FAT, GAS, LUNG
from train.anatomy.subject import Subject

# How often the labels are moved by half a voxel, so that no network learns where their rims lie.
_SHIFTED = 0.3
_GAIN_SPREAD = 0.03
_LATEST_SECONDS = 12
# Largest gain of blood that is kept (HU), as of a usual dose at 100 to 120 kVp. A native scan does not tell the dose, and pairs of a much
# larger one teach a mean that fits nobody.
_LARGEST_BLOOD_GAIN_HU = {"arterial": 360.0, "venous": 170.0}
_BLOOD = ("aorta", "pulmonary_artery", "heart", "portal_vein", "ivc")
# Region of `train.anatomy.regions` → the tissue whose kinetics it follows, to tell the patient's circulation.
_TOLD_BY = {
    "aorta": "aorta",
    "portal_vein": "portal_vein",
    "ivc": "ivc_suprarenal",
    "pulmonary_artery": "pulmonary_artery",
    "liver": "liver",
    "spleen": "spleen",
    "kidney": "renal_cortex",
    "heart": "left_ventricle",
}
_PASSIVE = (*FAT, *LUNG, *GAS, *BONE)


class RealScan:
    """Attributes
    ----------
    phase : of the scan.
    native_hu, gain_hu : (D, H, W) float32; the native one + gain / dose is the real scan.
    dose : at most 1, what the real gain was multiplied with to be that of a usual dose.
    valid : (D, H, W) bool.
    canvas : the canvas with tissue up to every border, to be asked for another phase; `shared` gives each voxel its part of it.
    """

    def __init__(
        self, subject: Subject, canvas: MapCanvas, indices: np.ndarray, *, seed: int, strength: float = 1.0
    ) -> None:
        assert subject.scan_hu is not None  # noqa: S101 - refused before
        assert subject.scan_phase is not None  # noqa: S101
        self.phase: Literal["arterial", "venous"] = subject.scan_phase
        found = subject.enhancement
        self._measured = found.measured_hu
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
        strongest = max((self._measured[name] for name in _BLOOD if name in self._measured), default=0.0)
        self.dose = min(1.0, _LARGEST_BLOOD_GAIN_HU[self.phase] / max(strongest, 1.0))
        self.gain_hu *= np.float32(self.dose)
        self.valid: np.ndarray = sample_linear((~found.valid).astype(np.float32), indices) < 0.3
        self._share = np.clip(sample_linear(found.share.astype(np.float32), indices), 0.0, 1.0)
        vessel = sample_linear(found.unlabelled_vessel.astype(np.float32), indices) > 0.5
        self.canvas = _filled(canvas, vessel)

    def shared(self, change_hu: np.ndarray) -> np.ndarray:
        """What of a tissue's enhancement (D, H, W) each voxel takes up."""
        change_hu *= self._share
        return change_hu

    def circulation(self, kinetics: Kinetics, seconds: float) -> tuple[float, float]:
        """The dose, as a multiple of the kinetics', and the lateness in seconds that explain the scan's own enhancement best."""
        told = [(name, self._measured[region]) for region, name in _TOLD_BY.items() if region in self._measured]
        if not told:
            return 1.0, 0.0
        real = np.array([gain for _, gain in told])
        weight = 1.0 / np.maximum(np.abs(real), 25.0)
        best = (np.inf, 1.0, 0.0)
        for late in range(-_LATEST_SECONDS, _LATEST_SECONDS + 1):
            model = np.array([kinetics.enhancement(name, seconds + late) for name, _ in told])
            dose = float(np.clip((weight**2 * real * model).sum() / max((weight**2 * model**2).sum(), 1e-6), 0.4, 2.2))
            misfit = float((((real - dose * model) * weight) ** 2).sum()) + (late / _LATEST_SECONDS) ** 2 * 0.05
            best = min(best, (misfit, dose, float(late)))
        return best[1], best[2]


def _filled(canvas: MapCanvas, vessel: np.ndarray) -> MapCanvas:
    """A copy of a canvas whose border voxels are all tissue, since the scan tells their share, with the vessels that labels lack."""
    passive = np.zeros(256, bool)
    passive[[ORGANS[name] for name in _PASSIVE if name in ORGANS]] = True
    top, under = canvas.top.copy(), canvas.under.copy()
    liver = canvas.is_("liver")
    top[vessel] = ORGANS["mesenteric_vein"]
    top[vessel & liver] = ORGANS["hepatic_vein"]
    top[vessel & canvas.is_("lung")] = ORGANS["pulmonary_vein"]
    top = np.where(passive[top] & ~passive[under], under, top)
    under = np.where(passive[under] | vessel, top, under)
    return MapCanvas(canvas.axes, top=top, under=under, share=canvas.share)
