"""Labelled torsos that are made: the digital phantom, and the painted label maps of real anatomy."""

from pathlib import Path

import numpy as np

from s2ldm_core.phantom import ORGANS, Phantom
from train.anatomy.files import find_subjects, read_subject
from train.anatomy.scan import AnatomyScan
from train.regions.example import REGION, Example

_SPACING_MM = (8.0, 4.0, 4.0)
_MATRIX = 116
_TORSO_MM = 625.0
_PAINTED = ("spl-abdominal-atlas", "hra-visible-human-male")
# Where regions meet, by what the slices hold; mm above (or below) the end of an organ.
_CREST_TO_PELVIS_MM = 35.0
_KIDNEY_TO_LOWER_ABDOMEN_MM = 25.0
_DOME_TO_THORAX_MM = 15.0
_APEX_TO_ARCH_MM = 85.0


def phantom_torso(seed: int) -> Example:
    """A phantom from the thighs to the neck, native, with a scan's noise."""
    slices = int(_TORSO_MM / _SPACING_MM[0])
    phantom = Phantom(
        seed, matrix=(_MATRIX, _MATRIX), slices=slices, spacing_mm=_SPACING_MM, centre_mm=(0.0, 0.0, -17.5)
    )
    hu = phantom.hu("native", noise_seed=seed)
    return Example(f"phantom-{seed}", f"phantom-{seed}", hu, _SPACING_MM, regions_by_organs(phantom.labels))


def painted_torsos(anatomy: Path, *, seeds: range) -> list[Example]:
    """Subjects whose own CT is not among the real scans, painted."""
    made = []
    for files in find_subjects(anatomy):
        if files.name not in _PAINTED:
            continue
        subject = read_subject(files)
        for seed in seeds:
            scan = AnatomyScan(subject, seed=seed, mode="painted", shape=(64, _MATRIX, _MATRIX), spacing_mm=_SPACING_MM)
            noise = scan.noise_hu()
            hu = scan.native_hu() + (0.0 if noise is None else noise)
            regions = regions_by_organs(scan.labels)
            made.append(Example(f"{files.name}-{seed}", files.name, hu, _SPACING_MM, regions))
    return made


def regions_by_organs(labels: np.ndarray) -> np.ndarray:
    """``(D,)`` region of each slice of a map of `ORGANS` that runs from inferior to superior, `_SPACING_MM` apart."""
    z = np.arange(len(labels)) * _SPACING_MM[0]
    crest = _ends(labels, z, "pelvic_marrow")[1]
    kidney = _ends(labels, z, "renal_cortex")[0]
    dome = _ends(labels, z, "liver")[1]
    apex = _ends(labels, z, "lung")[1]
    region = np.full(len(labels), REGION["upper_abdomen"])
    region[z < (-np.inf if kidney is None else kidney + _KIDNEY_TO_LOWER_ABDOMEN_MM)] = REGION["lower_abdomen"]
    region[z < (-np.inf if crest is None else crest - _CREST_TO_PELVIS_MM)] = REGION["pelvis"]
    region[z > (np.inf if dome is None else dome - _DOME_TO_THORAX_MM)] = REGION["thorax"]
    if apex is not None and apex > z[-1] * 0.5 and dome is not None and apex - dome > 150.0:
        region[z > apex - _APEX_TO_ARCH_MM] = REGION["shoulder"]
    return region


def _ends(labels: np.ndarray, z: np.ndarray, organ: str) -> tuple[float | None, float | None]:
    present = z[(labels == ORGANS[organ]).any(axis=(1, 2))]
    return (float(present[0]), float(present[-1])) if present.size else (None, None)
