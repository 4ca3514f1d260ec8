"""Label maps of scans (`train.prepare.maps` finds them): read, named as the product names organs, and brought onto a grid."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk

from s2ldm_core.phantom import ORGANS
from s2ldm_core.volume import Volume
from train.anatomy.errors import AnatomyError
from train.anatomy.names import structure
from train.errors import TrainError
from train.prepare.images import array_of, image_of
from train.prepare.maps import NAMES, MapFile, names_in
from train.prepare.warping import warp_labels

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

    def by_tissue(self) -> "LabelMap":
        """With one organ for what `train.anatomy` paints as one tissue, such as the cortex of both kidneys."""
        merged: dict[str, int] = {}
        table = np.zeros(256, np.uint8)
        for name, number in self.organs.items():
            table[number] = merged.setdefault(_tissue(name), number)
        image = sitk.GetImageFromArray(table[sitk.GetArrayViewFromImage(self.image)])
        image.CopyInformation(self.image)
        return LabelMap(image=image, organs=merged)


def read_labels(source: MapFile) -> LabelMap:
    """Read a label map and its names. Ids above 255 are renumbered, names that nothing carries are left out, and so are labels without a
    name.

    Raises
    ------
    TrainError
        ``labels_unreadable`` when image or names cannot be read or hold more than 255 organs.
    """
    try:
        image = sitk.ReadImage(str(source.image), sitk.sitkInt32)
        names = _names(names_in(source.names))
    except (RuntimeError, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise TrainError(
            "labels_unreadable",
            f"The label map {source.image.name} cannot be read ({type(error).__name__}).",
            f"Put {NAMES} with id: name, or name: id, beside {source.image.name}; or take the label map away.",
        ) from error
    values = sitk.GetArrayViewFromImage(image)
    found = np.unique(values)
    present = [value for value in found.tolist() if value in names]
    organs: dict[str, int] = {}
    for value in present:
        organs.setdefault(names[value], value)
    if len(organs) > _MOST_LABELS:
        raise TrainError(
            "labels_unreadable", f"The label map holds {len(organs)} organs; a store keeps {_MOST_LABELS}."
        )
    if max(organs.values(), default=0) > _MOST_LABELS:
        organs = {name: number for number, name in enumerate(organs, start=1)}
    numbers = np.array([organs[names[value]] if value in names else 0 for value in found.tolist()], np.uint8)
    plain = sitk.GetImageFromArray(np.stack([numbers[np.searchsorted(found, plane)] for plane in values]))
    plain.CopyInformation(image)
    return LabelMap(image=plain, organs=organs)


def _names(named: Mapping[str, object]) -> dict[int, str]:
    """By id, in lower case with underscores."""
    names: dict[int, str] = {}
    for key, value in named.items():
        name, number = (value, int(key)) if str(key).lstrip("-").isdigit() else (key, int(str(value)))
        if number > 0:
            plain = re.sub(r"\W+", "_", str(name).strip().lower()).strip("_")
            names[number] = _SPELLINGS.get(plain, plain)
    return names


# TotalSegmentator's class names for what the phantom names differently.
_SPELLINGS: Final[Mapping[str, str]] = {
    "portal_vein_and_splenic_vein": "portal_vein",
    "inferior_vena_cava": "ivc_suprarenal",
    "superior_vena_cava": "svc",
    "esophagus": "oesophagus",
    "urinary_bladder": "urine",
}


def _tissue(name: str) -> str:
    """As `s2ldm_core.phantom.ORGANS` spells it where `train.anatomy` knows a tissue by that name."""
    if name in ORGANS:
        return name
    try:
        known = structure(name)
    except AnatomyError:
        return name
    return known if known in ORGANS else name
