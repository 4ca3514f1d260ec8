"""Taking the enhancement out of a real contrast scan: what each voxel of it gained by contrast medium.

    gain = share ∗ delta          native = scan − gain

``delta`` is the tissue's own local HU in this scan less its native HU; ``share`` is the part of a voxel that is this tissue, which at a
border with fat or lung the scan itself tells, (x − fat) / (tissue − fat), so that the edge stays as sharp as the scanner drew it. Where
two tissues that enhance meet, ``delta`` passes from one to the other over the scanner's point spread.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from scipy import ndimage

from train.anatomy.enhancement import Enhancement
from train.anatomy.local import CROSS, body_box, local_mean, near, noise
from train.anatomy.regions import BONE, FAT, GAS, LUNG, PLAIN, RIMS, VESSELS, is_, native_of, regions_of, told_apart

_PSF_MM, _PSF_SLICES = 0.7, 0.4
_FAT_HU, _LUNG_HU = -98.0, -850.0
_NOISE_FLOOR_HU = 8.0
# How far an organ's HU are averaged; vessels, heart and kidney are followed closely instead.
_SMOOTH_MM: Final = {"liver": 8.0, "pancreas": 5.0, "thyroid": 3.0, "spleen": 5.0, "bowel": 2.5}
_CLOSE_MM = 2.0
_CALCIUM_HU = (90.0, 170.0)
_MOST_BOWEL_HU = 60.0
# Beside blood that gained so much the native image is held between these, but for fat; corrected by more it is not believed.
_BRIGHT_GAIN_HU = 60.0
_LOWEST_HU, _HIGHEST_HU, _DOUBTFUL_HU = 12.0, 72.0, 60.0
_MOST_OF_MIXED = 1.5  # of mixed blood's gain: beyond lie unmixed inflow, wires and their streaks
_PLAIN_GAIN: Final = {"arterial": 4.0, "venous": 9.0}


def unenhance(
    codes: np.ndarray,
    scan_hu: np.ndarray,
    *,
    spacing_mm: tuple[float, float, float],
    phase: str,
    native_hu: Mapping[str, float] | None = None,
) -> Enhancement:
    """What the labels and the scan say about its enhancement.

    Parameters
    ----------
    codes, scan_hu : (D, H, W) structures (`train.anatomy.names.CODES`) and HU of a contrast scan.
    phase : ``arterial`` or ``venous``; muscle's few HU depend on it.
    native_hu : what a native scan of the patient shows, by region (`train.anatomy.regions.measured_native`).
    """
    whole = scan_hu.shape
    box = body_box(codes)
    made = _Scan(codes[box], scan_hu[box], spacing_mm, phase, native_hu or {})
    share, delta = (np.zeros(whole, np.float16) for _ in range(2))
    valid = np.ones(whole, bool)
    share[box], delta[box], valid[box] = made.share, made.delta, made.valid
    return Enhancement(share=share, delta_hu=delta, valid=valid, measured_hu=made.measured)


class _Scan:
    """The steps of `unenhance` and what they leave one another."""

    def __init__(
        self,
        codes: np.ndarray,
        hu: np.ndarray,
        spacing_mm: tuple[float, float, float],
        phase: str,
        native: Mapping[str, float],
    ) -> None:
        self.hu, self.spacing_mm = hu.astype(np.float32), spacing_mm
        self.smooth = ndimage.gaussian_filter(self.hu, self.sigma(0.9), truncate=3.0)
        self.codes = told_apart(codes, self.smooth, spacing_mm)
        self.filled = self.codes != codes
        codes = self.codes
        self.fat, self.lung = is_(codes, *FAT), is_(codes, *LUNG)
        self.low = self.fat | self.lung | is_(codes, *GAS)
        self.plain = is_(codes, *PLAIN)
        self.bone = is_(codes, *BONE, "calcification", "metal")
        self.level = np.zeros_like(self.hu)  # HU of the enhanced tissue
        self.delta = np.zeros_like(self.hu)
        self.known = np.zeros(hu.shape, bool)
        self.measured: dict[str, float] = {}
        self.blood_hu = self._blood_level()
        self.noise_hu = self._noise_hu()
        self.native_blood = native_of("aorta", native)
        for name, mask in regions_of(codes).items():
            self._region(name, mask, native_of(name, native))
        self._plain(phase)
        self._hepatic_veins(native)
        self.valid = self._valid()
        self._spread()
        self.share = self._share()
        self._bounded()

    def sigma(self, mm: float) -> list[float]:
        """Voxels along z, y, x of a width in mm; at most so many slices as a thick slice blurs already."""
        dz, dy, dx = self.spacing_mm
        return [min(mm / dz, max(_PSF_SLICES, mm / 4.0)), mm / dy, mm / dx]

    def _blood_level(self) -> float:
        """HU of well mixed blood, for vessels too thin to show it; what is much brighter than the brightest of it is calcium."""
        self.brightest_hu = 150.0
        for names in (("aorta",), ("portal_vein",), ("left_ventricle", "heart")):
            core = ndimage.binary_erosion(is_(self.codes, *names), CROSS, iterations=2)
            if np.count_nonzero(core) > 30:
                self.brightest_hu = float(np.quantile(self.smooth[core], 0.85))
                return float(np.median(self.hu[core]))
        return 150.0

    def _region(self, name: str, mask: np.ndarray, native: float) -> None:
        """Level and gain of one region: local means in its depth, carried out to its border."""
        found = ndimage.find_objects(mask.astype(np.uint8))
        if not found:
            return
        box = tuple(slice(max(0, b.start - 3), b.stop + 3) for b in found[0])
        mask, hu, smooth = mask[box], self.hu[box], self.smooth[box]
        depth = ndimage.binary_erosion(mask, CROSS, border_value=1)
        middle = float(np.median(hu[depth] if depth.sum() >= 15 else hu[mask & (smooth >= np.median(smooth[mask]))]))
        above = max(80.0, 0.35 * self.brightest_hu) if name in VESSELS else 110.0
        usual = (smooth < max(middle, self.blood_hu) + above) & (smooth > min(middle - 110.0, native + 20.0))
        if name in ("heart", "kidney"):
            usual = (smooth > 0.0) & (smooth < max(300.0, 4 * middle))
        core = depth & usual
        deep = ndimage.binary_erosion(core, CROSS, border_value=1) & usual
        close = name not in _SMOOTH_MM
        mean, weight, _ = local_mean(hu, deep, core, self.sigma(_SMOOTH_MM.get(name, _CLOSE_MM)))
        faint = np.float32(0.01)  # a thin branch far from any core has its kind's HU
        level = (mean * weight + faint * np.float32(middle)) / (weight + faint)
        missing = np.zeros_like(level)
        if close:
            level, missing = self._follow(level, hu, smooth, deep, name)
            carried, _, _ = local_mean(level, deep, core, self.sigma(0.8))
            level = np.where(deep, level, np.where(weight > 0.02, carried, level)).astype(np.float32)
        if name in ("pulmonary_artery", "pulmonary_vein"):
            level = np.maximum(level, 0.8 * middle)
        gain = np.maximum(level - np.float32(native), 0.0) if name != "heart" else level - np.float32(native)
        if name == "bowel":
            gain = np.clip(gain, 0.0, _MOST_BOWEL_HU)
        target, delta, known = self.level[box], self.delta[box], self.known[box]
        target[mask] = level[mask]
        delta[mask] = (gain - missing)[mask]
        known[mask] = True
        if core.any():
            self.measured[name] = middle - native

    def _follow(
        self, level: np.ndarray, hu: np.ndarray, smooth: np.ndarray, deep: np.ndarray, name: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The level with the region's own edges, told from noise (Wiener), coarse ones before fine; and noise for what that took."""
        missing = np.zeros_like(level)
        for finer, noise_hu, grain in ((smooth, self.noise_hu[0], 1.3), (hu, self.noise_hu[1], 0.6)):
            rest = finer - level
            _, _, variance = local_mean(rest, deep, deep, self.sigma(1.0))
            part = np.clip(1.0 - 2.0 * noise_hu**2 / np.maximum(variance, 1e-3), 0.0, 1.0) * deep
            level = level + part * rest
            missing += part * np.float32(noise_hu) * noise(hu.shape, f"{name}{grain}", grain)
        return level, missing

    def _noise_hu(self) -> tuple[float, float]:
        """Deviation of the smoothed scan about its local mean, and of the scan about the smoothed, in even tissue."""
        even = is_(self.codes, "liver", "spleen", *PLAIN) & (np.abs(self.smooth - 60.0) < 50.0)
        even = ndimage.binary_erosion(even, CROSS, iterations=2)
        if np.count_nonzero(even) < 500:
            return _NOISE_FLOOR_HU, _NOISE_FLOOR_HU
        coarse = ndimage.gaussian_filter(self.hu, self.sigma(_CLOSE_MM), truncate=2.5)
        found = [1.48 * float(np.median(np.abs(rest[even]))) for rest in (self.smooth - coarse, self.hu - self.smooth)]
        return max(0.5 * _NOISE_FLOOR_HU, found[0]), max(_NOISE_FLOOR_HU, found[1])

    def _plain(self, phase: str) -> None:
        """Muscle and unnamed soft tissue: a few HU, and more where it is brighter than its surroundings, clear of bone."""
        mask = self.plain
        rim = mask & is_(self.codes, *RIMS) & ~ndimage.binary_opening(mask, CROSS, iterations=2)
        organ = self.known & ~is_(self.codes, *VESSELS)
        rim &= ndimage.binary_dilation(organ, CROSS, iterations=3)
        mask = mask & ~rim
        core = ndimage.binary_erosion(mask, CROSS) & (self.smooth < 90.0) & (self.smooth > -20.0)
        mean, weight, _ = local_mean(self.hu, core, core, self.sigma(8.0))
        level = (mean * weight + np.float32(0.01 * 45.0)) / (weight + np.float32(0.01))
        excess = ndimage.gaussian_filter(self.hu, self.sigma(1.1), truncate=3.0) - np.maximum(level, 40.0)
        noise = 1.48 * float(np.median(np.abs(excess[core]))) if core.any() else 10.0
        bright = np.clip((excess - max(30.0, 3.0 * noise)) / 25.0, 0.0, 1.0) * mask
        bright[near(self.bone, 3)] = 0.0
        bright[excess > self.blood_hu + 60.0] = 0.0
        self.level[mask] = level[mask] + (bright * excess)[mask]
        self.delta[mask] = np.float32(_PLAIN_GAIN.get(phase, 9.0)) + (bright * excess)[mask]
        self.known |= mask

    def _hepatic_veins(self, native: Mapping[str, float]) -> None:
        """What is clearly brighter than the liver around it is a vein that has no label."""
        liver = is_(self.codes, "liver")
        found = ndimage.find_objects(liver.astype(np.uint8))
        if not found:
            return
        box = found[0]
        mask, level = liver[box], self.level[box]
        excess = ndimage.gaussian_filter(self.hu[box], self.sigma(1.6), truncate=3.0) - level
        inside = ndimage.binary_erosion(mask, CROSS, iterations=2)
        noise = float(np.quantile(np.abs(excess[inside]), 0.5)) * 1.48 if inside.any() else 10.0
        start = max(9.0, 1.5 * noise)
        vein = np.clip((excess - start) / start, 0.0, 1.0) * inside
        rise = np.maximum(np.float32(self.blood_hu) - level, 25.0)
        gap = np.float32(native_of("liver", native) - self.native_blood)
        self.delta[box] += vein * excess + gap * np.clip(vein * excess / rise, 0.0, 1.0)
        self.level[box] += vein * excess

    def _valid(self) -> np.ndarray:
        """False beside oral contrast in the bowel, where the gain fades, and in what may be bone or a vessel."""
        bowel = is_(self.codes, "small_bowel", "colon", "stomach")
        dense = is_(self.codes, "oral_contrast") | (bowel & (self.smooth > 130.0))
        near = ndimage.binary_dilation(dense, CROSS, iterations=max(1, round(4.0 / self.spacing_mm[1])))
        valid = ~(near & ~dense & (bowel | self.plain | is_(self.codes, "oesophagus")) & (self.smooth > 45.0))
        # A wall cannot be told from the partial volume of what it holds: there it keeps what it has.
        faded = ndimage.gaussian_filter(dense.astype(np.float32), self.sigma(3.0), truncate=2.5)
        self.delta[bowel] *= np.clip(1.0 - 2.5 * faded, 0.0, 1.0)[bowel]
        doubtful = is_(self.codes, "dense")
        if doubtful.any():
            around = ndimage.binary_dilation(is_(self.codes, "pulmonary_vein", "heart"), CROSS, iterations=5)
            valid &= ~(doubtful & around)
        return np.asarray(valid)

    def _spread(self) -> None:
        """Carry level and gain over borders by the point spread, and beyond the labels' rim."""
        sigma = [_PSF_SLICES, _PSF_MM / self.spacing_mm[1], _PSF_MM / self.spacing_mm[2]]
        known = self.known.astype(np.float32)
        near = ndimage.gaussian_filter(known, sigma, truncate=4.0)
        # Thin rims take their organ's: a second, wider look where the first sees nothing.
        wide = [max(0.5, sigma[0]), 1.3 * max(1.0, sigma[1]), 1.3 * max(1.0, sigma[2])]
        far = ndimage.gaussian_filter(known, wide, truncate=3.0)
        self.reach = far > 0.02
        for array in (self.level, self.delta):
            array *= known
            first = ndimage.gaussian_filter(array, sigma, truncate=4.0)
            second = ndimage.gaussian_filter(array, wide, truncate=3.0)
            enough = near > 0.05
            array[:] = np.where(enough, first / np.maximum(near, 0.05), second / np.maximum(far, 0.02))
            array[~self.reach] = 0.0

    def _share(self) -> np.ndarray:
        """How much of each voxel is the tissue: at borders with fat and lung by HU, elsewhere all but clefts of fat and calcium."""
        fat_core = ndimage.binary_erosion(self.fat, CROSS) & (self.smooth < -50.0)
        fat, fat_weight, _ = local_mean(self.hu, fat_core, fat_core, self.sigma(3.0))
        ground = np.where(fat_weight > 0.02, np.clip(fat, -125.0, -60.0), _FAT_HU).astype(np.float32)
        airy = self.lung | is_(self.codes, *GAS)
        around = ndimage.binary_dilation(airy, CROSS, iterations=2)
        near_fat = ndimage.binary_dilation(self.fat, CROSS, iterations=2)
        ground[around & (~near_fat | (self.hu < -150.0))] = _LUNG_HU
        level = np.maximum(self.level, 20.0)
        share = (self.hu - ground) / (level - ground)
        np.clip(share, 0.0, 1.1, out=share)
        border = ndimage.binary_dilation(self.low, CROSS, iterations=2)
        border[1:] |= self.low[:-1]
        border[:-1] |= self.low[1:]
        within = np.clip((self.smooth + 90.0) / 102.0, 0.0, 1.0)
        share = np.where(border, share, within)
        self._thin_vessels(share, ground)
        ceiling = np.maximum(level, self.brightest_hu)
        calcium = np.clip((ceiling + _CALCIUM_HU[1] - self.smooth) / (_CALCIUM_HU[1] - _CALCIUM_HU[0]), 0.0, 1.0)
        kept = self.bone | is_(
            self.codes, "oral_contrast", "spinal_cord", "csf", "cyst", "bile", "gallbladder", "urine"
        )
        kept |= is_(self.codes, "bladder", "ascites", "pleural_effusion", "renal_pelvis", "ureter", "table_shell")
        share *= np.where(kept, np.float32(0.0), calcium)
        return share

    def _bounded(self) -> None:
        """Where a label is off beside bright blood, what is left or taken too much shows in the native image: it is set right by its HU."""
        bright = (self.delta * self.known > _BRIGHT_GAIN_HU) | self.filled
        beside = near(bright, 4) & ~self.bone & ~is_(self.codes, "oral_contrast")
        calcium = (self.smooth > self.brightest_hu + _CALCIUM_HU[0]) & ~self.filled
        beside &= ~ndimage.binary_dilation(calcium, CROSS, iterations=2)
        sigma = self.sigma(0.7)
        for _ in range(2):
            native = ndimage.gaussian_filter(self.hu - self.share * self.delta, sigma, truncate=3.0)
            wrong = np.maximum(native - _HIGHEST_HU, 0.0)
            wrong += np.minimum(native - _LOWEST_HU, 0.0) * ~near(self.low, 2)
            wrong *= beside
            self.valid &= np.abs(wrong) < _DOUBTFUL_HU
            share = np.where(beside, np.maximum(self.share, np.where(wrong > 0.0, 0.2, 0.0)), self.share)
            self.delta = np.where(share > 0.05, (self.share * self.delta + wrong) / np.maximum(share, 0.05), self.delta)
            self.share = share
        self.valid &= self.share * self.delta < _MOST_OF_MIXED * max(self.brightest_hu - self.native_blood, 100.0)

    def _thin_vessels(self, share: np.ndarray, ground: np.ndarray) -> None:
        """Vessels without a label: in fat beyond the organs' rims, and in the lungs."""
        blood, gain = np.float32(self.blood_hu), np.float32(self.blood_hu - self.native_blood)
        fat = (
            is_(self.codes, "visceral_fat", "mediastinal_fat", "inside", "intermuscular_fat", "renal_sinus_fat")
            & ~self.reach
        )
        lung = self.lung & (self.level < 1.0) & ~near(self.fat | self.bone | self.plain, 3)
        part = np.clip((self.hu - ground) / (blood - ground), 0.0, 1.0) * np.clip((self.smooth + 60.0) / 30.0, 0.0, 1.0)
        in_lung = np.clip((self.hu - _LUNG_HU) / (blood - _LUNG_HU), 0.0, 1.0) * np.clip(
            (self.hu + 750.0) / 150.0, 0.0, 1.0
        )
        share[fat], share[lung] = part[fat], in_lung[lung]
        alone = fat | lung
        self.delta[alone] = gain
