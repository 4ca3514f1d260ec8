"""What takes up contrast medium in a scan, what does not, and the native HU of each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy import ndimage

from s2ldm_core.phantom.tissues import BLOOD, MUSCLES
from train.anatomy.local import CROSS
from train.anatomy.names import CODES

#: Native HU where no native scan of the patient tells; literature and the native scans of similar patients.
NATIVE_HU: Final[Mapping[str, float]] = MappingProxyType(
    {
        "blood": 42.0,
        "liver": 56.0,
        "spleen": 48.0,
        "kidney": 32.0,
        "heart": 43.0,
        "pancreas": 40.0,
        "thyroid": 95.0,
        "adrenal": 25.0,
        "oesophagus": 36.0,
        "bowel": 36.0,
        "lesion": 44.0,
        "node": 36.0,
        "consolidation": 36.0,
    }
)

#: Labels whose HU are followed together, so that a border between them leaves no trace.
REGIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "heart": ("heart", "myocardium", "left_ventricle", "right_ventricle", "left_atrium", "right_atrium"),
        "kidney": ("kidney_right", "kidney_left", "renal_cortex", "renal_medulla"),
        "liver": ("liver",),
        "spleen": ("spleen",),
        "pancreas": ("pancreas",),
        "thyroid": ("thyroid",),
        "adrenal": ("adrenal",),
        "oesophagus": ("oesophagus",),
        "lesion": ("hypovascular_lesion", "hypervascular_lesion", "haemangioma", "renal_tumour"),
        "node": ("lymph_node", "prostate", "uterus"),
        "consolidation": ("consolidation",),
        "bowel": ("small_bowel", "colon", "stomach"),
    }
)
FAT: Final = ("subcutaneous_fat", "visceral_fat", "mediastinal_fat", "intermuscular_fat", "inside", "renal_sinus_fat")
LUNG: Final = ("lung", "dependent_lung")
GAS: Final = ("bowel_gas", "airway", "air")
BONE: Final = (
    *("vertebra", "pelvic_bone", "rib", "long_bone", "cortical_bone", "vertebral_marrow", "pelvic_marrow"),
    *("rib_marrow", "long_bone_marrow", "cartilage", "disc", "dense"),
)
#: Soft tissue whose small enhancement is the kinetics', and whose brighter parts are vessels without a label.
PLAIN: Final = (*MUSCLES, "soft", "strand", "pelvic_soft_tissue", "skin", "diaphragm")
#: Of these what is thin is the rim of an organ rather than a tissue of its own.
RIMS: Final = ("soft", "strand", "pelvic_soft_tissue", "diaphragm", "skin", "oblique_muscles")
VESSELS: Final = tuple(
    name for name in (*BLOOD, "ivc", "coronary_artery") if name not in REGIONS["heart"] or name == "coronary_artery"
)


def is_(codes: np.ndarray, *names: str) -> np.ndarray:
    """(D, H, W) bool: one of these structures."""
    table = np.zeros(256, bool)
    table[[CODES[name] for name in names if name in CODES]] = True
    return table[codes]


def regions_of(codes: np.ndarray) -> dict[str, np.ndarray]:
    """The regions and single vessels that occur, by name, as masks like ``codes``."""
    present = set(np.unique(codes).tolist())
    groups = {**REGIONS, **{name: (name,) for name in VESSELS}}
    return {
        name: is_(codes, *members)
        for name, members in groups.items()
        if any(CODES.get(member) in present for member in members)
    }


def native_of(region: str, measured: Mapping[str, float]) -> float:
    """Native HU of a region or vessel: measured in the patient's native scan, else `NATIVE_HU`."""
    if region in measured:
        return measured[region]
    kind = region if region in NATIVE_HU else "blood"
    return measured.get(kind, NATIVE_HU[kind])


def measured_native(codes: np.ndarray, native_hu: np.ndarray) -> dict[str, float]:
    """Medians of a patient's native scan in the labels moved to it, those large enough to trust; vessels together as ``blood``.

    Parameters
    ----------
    codes, native_hu : (D, H, W) structures and HU on the native scan's grid.
    """
    groups = {**REGIONS, "blood": ("aorta", "ivc", "portal_vein", "left_ventricle")}
    found = {}
    for name in ("blood", "liver", "spleen", "kidney", "heart", "pancreas"):
        mask = ndimage.binary_erosion(is_(codes, *groups[name]), CROSS, iterations=2)
        if np.count_nonzero(mask) >= 500:
            found[name] = float(np.median(native_hu[mask]))
    return found


def told_apart(codes: np.ndarray, smooth: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """The codes with ``dense`` tissue that is a contrast-filled vessel made one: thick, as bright as blood, by heart or vessel."""
    dense = is_(codes, "dense")
    if not dense.any():
        return codes
    filled = is_(codes, "heart", "aorta", "pulmonary_artery")
    level = float(np.median(smooth[ndimage.binary_erosion(filled)]))
    bright = dense & (smooth > 0.6 * level)
    size = max(1, round(2.5 / spacing_mm[1]))
    thick = ndimage.binary_opening(bright, iterations=size)
    thick = ndimage.binary_dilation(thick, iterations=2, mask=dense)
    parts, count = ndimage.label(thick)
    touching = set(np.unique(parts[ndimage.binary_dilation(filled, iterations=2)]).tolist()) - {0}
    # A vein beside them is bright throughout, where a bone holds marrow.
    beside = ndimage.binary_dilation(filled, iterations=max(2, round(12.0 / spacing_mm[1])))
    for part, box in enumerate(ndimage.find_objects(parts), start=1):
        here = parts[box] == part
        large = np.count_nonzero(here) * float(np.prod(spacing_mm)) > 800.0
        if large and beside[box][here].any() and float(np.median(smooth[box][here])) > 0.85 * level:
            touching.add(part)
    vessel = np.isin(parts, sorted(touching)) if count else np.zeros_like(dense)
    # A shell around a vessel is its own partial volume.
    shell = dense & ~ndimage.binary_opening(dense & ~vessel, iterations=size) & ~vessel
    vessel |= shell & ndimage.binary_dilation(filled | vessel, iterations=3)
    out = codes.copy()
    out[vessel] = CODES["pulmonary_vein"]
    return out
