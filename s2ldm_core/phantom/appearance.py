"""How labelled tissue looks in CT: texture that every phase shares, enhancement by label, and one scan's noise.

Tables are by tissue label, ``(256,)`` float32; images ``(D, H, W)`` float32 HU. Used by the procedural torso and by label maps alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from s2ldm_core.phantom.fields import Axes, SplineField
from s2ldm_core.phantom.kinetics import Kinetics
from s2ldm_core.phantom.patient import Patient
from s2ldm_core.phantom.scanner import Scanner
from s2ldm_core.phantom.tissues import MUSCLES, ORGANS, PHASE_SECONDS, TISSUES

_CLEAR = tuple(ORGANS[name] for name in ("air", "lung", "table_foam"))
_BONE = tuple(ORGANS[name] for name in ("cortical_bone", "vertebral_marrow", "pelvic_marrow"))


def delay_seconds(patient: Patient) -> float:
    """How much later than usual this patient is scanned; bolus tracking follows the circulation in part."""
    return 8.0 * (5.6 / patient.cardiac_output - 1.0) + patient.timing_jitter_seconds


def phase_seconds(patient: Patient, phase: str) -> float:
    """Second after the start of the injection at which this patient's phase is scanned."""
    return PHASE_SECONDS[phase] + delay_seconds(patient)


@dataclass(frozen=True, kw_only=True)
class Texture:
    """Structure inside the tissues, of unit deviation."""

    coarse: np.ndarray
    fine: np.ndarray

    @classmethod
    def of(cls, axes: Axes, rng: np.random.Generator) -> Texture:
        """The texture at the places ``axes`` (z, y, x in mm)."""
        coarse = SplineField(rng, spacing_mm=(14.0, 11.0, 11.0)).grid(axes)[0]
        fine = SplineField(rng, spacing_mm=(6.0, 4.0, 4.0)).grid(axes)[0]
        fine *= np.float32(0.75)
        fine += np.float32(0.65) * coarse
        return cls(coarse=coarse, fine=fine)


def add_texture(upper: np.ndarray, labels: np.ndarray, texture: Texture, patient: Patient) -> None:
    """Add each tissue's texture to ``upper`` in place, and streaks of fat to muscle."""
    amplitude, fatty = np.zeros(256, np.float32), np.zeros(256, np.float32)
    for name, tissue in TISSUES.items():
        amplitude[tissue.label] = tissue.texture_hu
        if name in MUSCLES:
            fatty[tissue.label] = patient.muscle_fat * (1.0 if tissue.texture_hu > 8 else 0.35)
    upper += amplitude[labels] * texture.fine
    upper -= (60.0 * fatty)[labels] * np.maximum(texture.fine - np.float32(0.35), 0)


def enhancement_tables(kinetics: Kinetics, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean enhancement by label, and how far it is mottled: much in the arterial phase, little later."""
    enhancement, mottle = np.zeros(256, np.float32), np.zeros(256, np.float32)
    fade = float(np.exp(-max(0.0, seconds - 35.0) / 22.0))
    for name, tissue in TISSUES.items():
        value = kinetics.enhancement(name, seconds)
        enhancement[tissue.label] = value
        mottle[tissue.label] = value * tissue.mottle * (0.12 + 0.88 * fade)
    return enhancement, mottle


def mixed(upper: np.ndarray, under: np.ndarray, share: np.ndarray) -> np.ndarray:
    """``under`` + share · (``upper`` − ``under``), in the memory of both; ``share`` uint8, 255 is all of ``upper``."""
    weight = share.astype(np.float32)
    weight *= np.float32(1.0 / 255.0)
    upper -= under
    upper *= weight
    under += upper
    return under


def scan_noise(
    scanner: Scanner, labels: np.ndarray, *, spacing_mm: tuple[float, float, float], seed: int
) -> np.ndarray:
    """One scan's noise: strongest in the middle of wide sections, with streaks along the widest way."""
    inside, bone = ~np.isin(labels, _CLEAR), np.isin(labels, _BONE)
    factor, streak = scanner.weights(inside, bone, spacing_mm=spacing_mm)
    noise = scanner.noise((labels.shape[0], labels.shape[1], labels.shape[2]), spacing_mm=spacing_mm, seed=seed)
    lines = uniform_filter1d(noise, max(3, int(45 / spacing_mm[2])), axis=2)
    lines *= streak
    lines *= np.float32(scanner.streak_hu / 3.0)
    noise *= factor
    noise += lines
    return noise
