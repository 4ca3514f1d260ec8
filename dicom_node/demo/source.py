"""What the demo sends: a made-up patient, or the user's own series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from s2ldm_core.phantom import Phantom
    from s2ldm_core.volume import Volume

#: A patient on whom the bundled model was not trained.
PHANTOM_SEED = 900_913
_MATRIX = (320, 320)
_SLICES = 80
_SPACING_MM = (5.0, 1.25, 1.25)

#: Where a radiologist looks first; names as in the phantom's table of organs.
_ORGANS = ("aorta", "portal_vein", "renal_cortex", "liver", "spleen", "psoas", "subcutaneous_fat")


@dataclass(frozen=True, kw_only=True)
class DemoSource:
    """One series: its files and volume, and the phantom behind it if there is one."""

    title: str
    paths: tuple[Path, ...]
    volume: Volume
    phantom: Phantom | None = None

    def organ_masks(self) -> dict[str, np.ndarray]:
        """``(D, H, W)`` bool masks of the organs that the phantom knows; empty for other series."""
        if self.phantom is None:
            return {}
        from s2ldm_core.phantom import ORGANS

        masks = {name: self.phantom.labels == ORGANS[name] for name in _ORGANS if name in ORGANS}
        return {name: mask for name, mask in masks.items() if mask.sum() >= 20}

    def truth_hu(self, phase: str) -> np.ndarray | None:
        """``(D, H, W)`` what the phantom would have shown in ``phase``, without noise; None for other series."""
        return None if self.phantom is None else self.phantom.hu(phase)


def phantom_source(folder: Path) -> DemoSource:
    """Make a digital torso, write its native phase as a DICOM series into ``folder``."""
    from s2ldm_core.io import read_volume
    from s2ldm_core.phantom import Phantom
    from s2ldm_core.phantom.dicom import write_series

    phantom = Phantom(PHANTOM_SEED, matrix=_MATRIX, slices=_SLICES, spacing_mm=_SPACING_MM, region="torso")
    write_series(phantom, folder, phase="native")
    volume = read_volume(folder)
    return DemoSource(title="Digital phantom", paths=_paths(volume), volume=volume, phantom=phantom)


def folder_source(folder: Path, *, series_uid: str | None = None) -> DemoSource:
    """The CT series in ``folder``, or that one of several.

    Raises
    ------
    VolumeError
        There is not exactly one, or none under that UID (``several_series``, ``series_not_found``; the sentence lists
        those that are there), or it is no volume.
    """
    from s2ldm_core.errors import VolumeError
    from s2ldm_core.io import read_volume

    try:
        volume = read_volume(folder, series_uid=series_uid)
    except VolumeError as error:
        if error.code not in ("several_series", "series_not_found"):
            raise
        what = "holds several CT series:" if series_uid is None else f"has no CT series {series_uid}; it holds:"
        raise VolumeError(
            error.code,
            "\n".join([f"The folder {folder} {what}", *_ct_series_lines(folder)]),
            "Choose one of these with --series UID.",
        ) from error
    return DemoSource(title=folder.name, paths=_paths(volume), volume=volume)


def _ct_series_lines(folder: Path) -> list[str]:
    """One line for each CT series of a folder: UID, description, number of slices."""
    from dicom_node.series.headers import SELECTION_KEYWORDS
    from s2ldm_core.io.header import text
    from s2ldm_core.io.series import group_by_series

    groups = group_by_series(
        (path for path in sorted(folder.rglob("*")) if path.is_file()),
        keep=lambda path, _: path,
        unusable=lambda _path, _error: None,
        keywords=SELECTION_KEYWORDS,
    )
    lines = []
    for uid, found in sorted(groups.items(), key=lambda item: item[0]):
        if text(found.first, "Modality") == "CT":
            description = text(found.first, "SeriesDescription") or "no description"
            lines.append(f"{uid or 'no Series Instance UID'}  {description}, {len(found.files)} slices")
    return lines


def _paths(volume: Volume) -> tuple[Path, ...]:
    return tuple(one.path for one in volume.slices if one.path is not None)
