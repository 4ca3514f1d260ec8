"""Label maps beside a study: ``labels.nii.gz`` with ``labels.json``, id → name or name → id."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk

from s2ldm_core.phantom import ORGANS
from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.prepare.images import array_of, image_of
from train.prepare.warping import warp_labels

NAMES: Final = "labels.json"
_MOST_LABELS: Final = 255
#: Organs whose outlines breathing moves, as sets of names that together are the organ.
BREATHING_ORGANS: Final[Mapping[str, tuple[str, ...]]] = {
    "liver": ("liver",),
    "kidney": ("renal_cortex", "renal_medulla", "kidney", "kidney_left", "kidney_right"),
}


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """Organs of a scan: an image of integer labels in LPS mm, and what they mean."""

    image: sitk.Image
    organs: Mapping[str, int]

    def on(self, grid: Volume, transform: sitk.Transform | None = None) -> np.ndarray:
        """``(D, H, W)`` uint8 labels on a volume's grid, nearest neighbour."""
        return warp_labels(self.image, grid, transform).astype(np.uint8)

    def organ(self, ids: Sequence[int], grid: Volume, transform: sitk.Transform | None = None) -> np.ndarray:
        """``(D, H, W)`` bool: where any of ``ids`` fills more than half a voxel of a volume's grid (linear interpolation)."""
        inside = np.isin(sitk.GetArrayViewFromImage(self.image), ids).astype(np.float32)
        image = sitk.GetImageFromArray(inside)
        image.CopyInformation(self.image)
        move = sitk.Transform(3, sitk.sitkIdentity) if transform is None else transform
        filled: np.ndarray = array_of(sitk.Resample(image, image_of(grid), move, sitk.sitkLinear, 0.0)) > 0.5
        return filled


def read_labels(path: Path) -> LabelMap:
    """Read a label map and its names; ids above 255 are renumbered, names that nothing carries are left out.

    Raises
    ------
    TrainError
        ``labels_unreadable`` when image or names cannot be read or hold more than 255 labels.
    """
    try:
        image = sitk.ReadImage(str(path), sitk.sitkInt32)
        named = json.loads((path.parent / NAMES).read_text(encoding="utf-8"))
        organs = _organs(named)
    except (RuntimeError, OSError, ValueError, TypeError, AttributeError) as error:
        raise TrainError(
            "labels_unreadable",
            f"The labels beside the study cannot be read ({type(error).__name__}).",
            f"Put {NAMES} with id: name, or name: id, beside {path.name}; or take the label map away.",
        ) from error
    values = sitk.GetArrayViewFromImage(image)
    present = [int(value) for value in np.unique(values) if value]
    if len(present) > _MOST_LABELS:
        raise TrainError(
            "labels_unreadable", f"The label map holds {len(present)} labels; a store keeps {_MOST_LABELS}."
        )
    organs = {name: value for name, value in organs.items() if value in present}
    if present and max(present) > _MOST_LABELS:
        image, organs = _renumbered(image, organs, present)
    return LabelMap(image=sitk.Cast(image, sitk.sitkUInt8), organs=organs)


def _organs(named: Mapping[str, object]) -> dict[str, int]:
    """Names as `s2ldm_core.phantom.ORGANS` spells them where it knows them, else in lower case with underscores."""
    organs: dict[str, int] = {}
    for key, value in named.items():
        name, number = (value, int(key)) if str(key).lstrip("-").isdigit() else (key, int(str(value)))
        plain = re.sub(r"\W+", "_", str(name).strip().lower()).strip("_")
        if number > 0:
            organs[_SPELLINGS.get(plain, plain)] = number
    return organs


# TotalSegmentator's class names for what the phantom names differently.
_SPELLINGS: Final[Mapping[str, str]] = {
    "portal_vein_and_splenic_vein": "portal_vein",
    "inferior_vena_cava": "ivc_suprarenal",
    "superior_vena_cava": "svc",
    "esophagus": "oesophagus",
    "urinary_bladder": "urine",
    **{name: name for name in ORGANS},
}


def _renumbered(image: sitk.Image, organs: dict[str, int], present: list[int]) -> tuple[sitk.Image, dict[str, int]]:
    table = {old: new for new, old in enumerate(present, start=1)}
    values = np.searchsorted(present, sitk.GetArrayViewFromImage(image)) + 1
    values[sitk.GetArrayViewFromImage(image) == 0] = 0
    small = sitk.GetImageFromArray(values.astype(np.uint8))
    small.CopyInformation(image)
    return small, {name: table[old] for name, old in organs.items()}
