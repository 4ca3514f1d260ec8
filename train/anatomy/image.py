"""HU from a canvas: native and enhancement tables mixed by each voxel's two tissues, with texture that every phase shares."""

import numpy as np

from s2ldm_core.phantom import ORGANS, TISSUES, Patient, Scanner, appearance
from s2ldm_core.phantom.appearance import Texture
from s2ldm_core.phantom.kinetics import Kinetics
from s2ldm_core.phantom.patient import stream
from s2ldm_core.phantom.tissues import BLOOD, MUSCLES
from train.anatomy.canvas import MapCanvas

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


def native_hu(canvas: MapCanvas, table: np.ndarray, texture: Texture, patient: Patient) -> np.ndarray:
    """Noise-free native HU (D, H, W) float32 before the scanner's blur."""
    upper = table[canvas.top]
    appearance.add_texture(upper, canvas.top, texture, patient)
    return appearance.mixed(upper, table[canvas.under], canvas.share)


def plain_hu(canvas: MapCanvas, table: np.ndarray) -> np.ndarray:
    """Native HU without texture."""
    return appearance.mixed(table[canvas.top], table[canvas.under], canvas.share)


def change_hu(canvas: MapCanvas, kinetics: Kinetics, texture: Texture, *, seconds: float) -> np.ndarray:
    """Enhancement (D, H, W) float32, HU, `seconds` after the start of the injection, before the scanner's blur."""
    enhancement, mottle = appearance.enhancement_tables(kinetics, seconds)
    upper = enhancement[canvas.top] + mottle[canvas.top] * texture.coarse
    return appearance.mixed(upper, enhancement[canvas.under], canvas.share)


def scanner_noise(canvas: MapCanvas, scanner: Scanner, *, seed: int) -> np.ndarray:
    """One scan's noise (D, H, W) float32, HU."""
    spacing = (canvas.spacing_mm[0], canvas.spacing_mm[1], canvas.spacing_mm[2])
    return appearance.scan_noise(scanner, canvas.top, spacing_mm=spacing, seed=seed)
