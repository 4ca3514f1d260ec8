"""Real series with the regions of their slices, looked at by eye; ``levels.json`` says from which slice on which region.

A level is the index of the first slice of a region, counted upwards from the feet. Neighbouring regions go over into one
another within a few centimetres, so levels are good to about two.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread

from s2ldm_core.io.pixels import read_slice
from s2ldm_core.volume import Volume, canonical
from train.errors import TrainError
from train.regions.example import REGION, Example

LEVELS = Path(__file__).with_name("levels.json")
_SINGLE_MM = 3.0


def real_series(folder: Path, *, use: str = "train") -> Iterator[Example]:
    """The series of ``levels.json`` below a folder.

    Parameters
    ----------
    use
        ``train``: torsos, learnt from and tested by leaving their patient out; ``test``: never learnt from.

    Raises
    ------
    TrainError
        ``real_data_missing`` when the folder lacks one of them.
    """
    for entry in json.loads(LEVELS.read_text(encoding="utf-8")):
        if entry["use"] != use:
            continue
        source = folder / entry["files"]
        if not source.exists():
            raise TrainError("real_data_missing", f"There is no {source}.", "Name the folder with the real CT data.")
        volume = read_upright(source)
        regions = np.empty(volume.shape[0], int)
        for name, start in sorted(entry["levels"].items(), key=lambda level: int(level[1])):
            regions[start:] = REGION[name]
        yield Example(entry["files"], entry["patient"], volume.hu, volume.spacing_mm, regions)


def read_upright(source: Path) -> Volume:
    """A series, turned to the patient's axes; tilted stacks, uneven steps and single slices too."""
    if source.name.endswith(".nii.gz"):
        image = sitk.ReadImage(str(source))
        affine = np.eye(4)
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        affine[:3, 3] = image.GetOrigin()
        return canonical(Volume(hu=sitk.GetArrayFromImage(image), affine=affine))[0]
    paths = sorted(source.iterdir()) if source.is_dir() else [source]
    slices = sorted((_placed(path) for path in paths), key=lambda one: one[0])
    step = (slices[-1][0] - slices[0][0]) / max(1, len(slices) - 1) or _SINGLE_MM
    affine = slices[0][2]
    affine[:3, 2] *= step
    return canonical(Volume(hu=np.stack([hu for _, hu, _ in slices]), affine=affine))[0]


def _placed(path: Path) -> tuple[float, np.ndarray, np.ndarray]:
    """Position along the normal, HU, and the affine for a step of 1 mm."""
    header: Any = dcmread(path, stop_before_pixels=True)
    row, column = (
        np.array(header.ImageOrientationPatient[:3], float),
        np.array(header.ImageOrientationPatient[3:], float),
    )
    normal, position = np.cross(row, column), np.array(header.ImagePositionPatient, float)
    affine = np.eye(4)
    affine[:3, 0] = row * float(header.PixelSpacing[1])
    affine[:3, 1] = column * float(header.PixelSpacing[0])
    affine[:3, 2], affine[:3, 3] = normal, position
    return float(normal @ position), read_slice(path)[0], affine
