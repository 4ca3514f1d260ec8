"""Images of subjects: reading them, and finding the CT that lies on a label map's grid."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from s2ldm_core.errors import VolumeError
from s2ldm_core.volume import Volume, canonical
from train.errors import TrainError

MAP_SUFFIXES: Final = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
_BESIDE: Final = ("volumes", "series")


def stem(path: Path) -> str:
    """An image file's name without its suffix; empty for other files."""
    return next((path.name[: -len(suffix)] for suffix in MAP_SUFFIXES if path.name.lower().endswith(suffix)), "")


def grid(path: Path) -> tuple[Any, ...]:
    """Size, spacing, origin and direction of an image, rounded to what files keep of them."""
    import SimpleITK as sitk  # nothing else in training needs it

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise TrainError(
            "anatomy_unreadable", f"{path} cannot be read.", "Write the label map again as NIfTI."
        ) from error
    numbers = (*reader.GetSpacing(), *reader.GetOrigin(), *reader.GetDirection())
    return (*reader.GetSize(), *(round(float(value), 2) for value in numbers))


class Images:
    """Every image of a tree, and of ``volumes`` and ``series`` beside it, that could be some subject's CT."""

    def __init__(self, anatomy: Path) -> None:
        places = [folder for name in _BESIDE if (folder := anatomy.resolve().parent / name).is_dir()]
        files = [path for folder in (anatomy, *places) for path in sorted(folder.rglob("*")) if path.is_file()]
        self._grids = {
            path: grid(path)
            for path in files
            if stem(path) and path.parent.name != "segmentations" and not stem(path).startswith("seg")
        }
        self._series: dict[Path, int] = {}
        for path in files:
            if not stem(path):
                self._series[path.parent] = self._series.get(path.parent, 0) + 1

    def on_grid_of(self, label_map: Path) -> Path | None:
        """The first image outside the map's folder that lies on exactly its grid, else a DICOM series' folder of the same grid whose
        axes may run the other way.
        """
        wanted = grid(label_map)
        for path, other in self._grids.items():
            if path.parent != label_map.parent and other == wanted:
                return path
        slices = max(1, int(wanted[2]))
        alike = [folder for folder, count in self._series.items() if count == slices and folder != label_map.parent]
        return next((folder for folder in alike if _same_place(folder, label_map)), None)


def _same_place(series: Path, label_map: Path) -> bool:
    try:
        ct, _ = canonical(read(series))
    except TrainError:
        return False
    turned, _ = canonical(read(label_map))
    return ct.shape == turned.shape and np.allclose(ct.affine, turned.affine, atol=0.05)


def read(path: Path) -> Volume:
    """An image of any pixel type (`s2ldm_core.io` takes Hounsfield units only), or a folder with one DICOM series.

    Raises
    ------
    TrainError
        ``anatomy_unreadable``.
    """
    import SimpleITK as sitk

    try:
        if path.is_dir():
            from s2ldm_core.io import read_volume

            return read_volume(path)
        image = sitk.ReadImage(str(path))
        affine = np.eye(4)
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        affine[:3, 3] = image.GetOrigin()
        return Volume(hu=sitk.GetArrayFromImage(image).astype(np.float32), affine=affine)
    except (RuntimeError, ValueError, VolumeError) as error:
        raise TrainError(
            "anatomy_unreadable", f"{path} cannot be read as a volume.", "Write it again as a three-dimensional NIfTI."
        ) from error
