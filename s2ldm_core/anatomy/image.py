"""HU from a canvas: native and enhancement tables mixed by each voxel's two tissues, with texture that every phase shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from s2ldm_core.anatomy.canvas import MapCanvas
from s2ldm_core.phantom import ORGANS, PHASE_SECONDS, TISSUES, Patient, Scanner
from s2ldm_core.phantom.fields import Axes, SplineField
from s2ldm_core.phantom.kinetics import Kinetics
from s2ldm_core.phantom.patient import stream
from s2ldm_core.phantom.tissues import BLOOD, MUSCLES

_NATURAL = 78.0
"""HU that red cells add to plasma, per unit of haematocrit; also what fat takes from liver, per unit of its share."""


def native_table(patient: Patient, *, seed: int) -> np.ndarray:
    """Native HU by tissue label (256,) of one patient: the tissues' means with their spread, blood by haematocrit, liver by fat."""
    rng = stream(seed, "anatomy native")
    table = np.full(256, -1000.0, np.float32)
    for tissue in TISSUES.values():
        table[tissue.label] = tissue.native_hu + float(np.clip(rng.normal(), -2.2, 2.2)) * tissue.native_spread_hu
    for name in BLOOD:
        table[ORGANS[name]] = 10.0 + _NATURAL * patient.haematocrit
    table[ORGANS["liver"]] = 58.0 + float(rng.normal(0, 4)) - _NATURAL * patient.liver_fat
    table[ORGANS["vertebral_marrow"]] = float(np.clip(268.0 - 2.0 * patient.age + rng.normal(0, 30), 50, 300))
    for name in ("renal_cortex", "renal_medulla"):
        table[ORGANS[name]] -= float(np.clip(rng.gamma(1.2, 3.5), 0.0, 14.0))
    for name in MUSCLES:
        table[ORGANS[name]] -= 16.0 * patient.muscle_fat
    return table


def phase_seconds(patient: Patient, phase: str) -> float:
    """Second after the start of the injection at which this patient's phase is scanned; bolus tracking follows the circulation in part."""
    return PHASE_SECONDS[phase] + 8.0 * (5.6 / patient.cardiac_output - 1.0) + patient.timing_jitter_seconds


@dataclass(frozen=True, kw_only=True)
class Texture:
    """Structure inside the tissues, of unit deviation: (D, H, W) float32 each."""

    coarse: np.ndarray
    fine: np.ndarray

    @classmethod
    def of(cls, axes: Axes, *, seed: int) -> Texture:
        rng = stream(seed, "anatomy texture")
        coarse = SplineField(rng, spacing_mm=(14.0, 11.0, 11.0)).grid(axes)[0]
        fine = SplineField(rng, spacing_mm=(6.0, 4.0, 4.0)).grid(axes)[0]
        fine *= np.float32(0.75)
        fine += np.float32(0.65) * coarse
        return cls(coarse=coarse, fine=fine)


def _mix(top: np.ndarray, under: np.ndarray, share: np.ndarray) -> np.ndarray:
    weight = share.astype(np.float32) / np.float32(255.0)
    return under + weight * (top - under)


def native_hu(canvas: MapCanvas, table: np.ndarray, texture: Texture, patient: Patient) -> np.ndarray:
    """Noise-free native HU (D, H, W) float32 before the scanner's blur."""
    amplitude, fatty = np.zeros(256, np.float32), np.zeros(256, np.float32)
    for name, tissue in TISSUES.items():
        amplitude[tissue.label] = tissue.texture_hu
        if name in MUSCLES:
            fatty[tissue.label] = 60.0 * patient.muscle_fat * (1.0 if tissue.texture_hu > 8 else 0.35)
    upper = table[canvas.top] + amplitude[canvas.top] * texture.fine
    upper -= fatty[canvas.top] * np.maximum(texture.fine - np.float32(0.35), 0)
    return _mix(upper, table[canvas.under], canvas.share)


def plain_hu(canvas: MapCanvas, table: np.ndarray) -> np.ndarray:
    """Native HU without texture."""
    return _mix(table[canvas.top], table[canvas.under], canvas.share)


def change_hu(canvas: MapCanvas, kinetics: Kinetics, texture: Texture, *, seconds: float) -> np.ndarray:
    """Enhancement (D, H, W) float32, HU, `seconds` after the start of the injection, before the scanner's blur."""
    enhancement, mottle = np.zeros(256, np.float32), np.zeros(256, np.float32)
    fade = float(np.exp(-max(0.0, seconds - 35.0) / 22.0))
    for name, tissue in TISSUES.items():
        value = kinetics.enhancement(name, seconds)
        enhancement[tissue.label] = value
        mottle[tissue.label] = value * tissue.mottle * (0.12 + 0.88 * fade)
    upper = enhancement[canvas.top] + mottle[canvas.top] * texture.coarse
    return _mix(upper, enhancement[canvas.under], canvas.share)


def scanner_noise(canvas: MapCanvas, scanner: Scanner, *, seed: int) -> np.ndarray:
    """One scan's noise (D, H, W) float32, HU: strongest in the middle of wide sections, with streaks along the widest way."""
    inside = ~canvas.is_("air", "lung", "table_foam")
    bone = canvas.is_("cortical_bone", "vertebral_marrow", "pelvic_marrow")
    spacing = (canvas.spacing_mm[0], canvas.spacing_mm[1], canvas.spacing_mm[2])
    factor, streak = scanner.weights(inside, bone, spacing_mm=spacing)
    shape = (inside.shape[0], inside.shape[1], inside.shape[2])
    noise = scanner.noise(shape, spacing_mm=spacing, seed=seed)
    lines = uniform_filter1d(noise, max(3, int(45 / spacing[2])), axis=2)
    lines *= streak
    lines *= np.float32(scanner.streak_hu / 3.0)
    noise *= factor
    noise += lines
    return noise
