"""The CT series below a folder, from headers and file names alone; no pixel is read."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk

from s2ldm_core.errors import VolumeError
from s2ldm_core.io.image import IMAGE_SUFFIXES
from s2ldm_core.io.series import group_by_series
from train.prepare.maps import LABELS, maps_another
from train.prepare.series import MIN_SLICES, SLICE_ARRAYS, Series, corners_of
from train.prepare.stacks import KEYWORDS, plane_of, stacks_of

# What is called so and cannot be read was meant to be a slice.
_DICOM_SUFFIXES: Final = (".dcm", ".ima", ".dicom")
_NAMED: Final = 3


def files_below(root: Path) -> list[Path]:
    """Every file below ``root`` in a fixed order; links that lead out of it and hidden files are left out."""
    inside = root.resolve()
    found: list[Path] = []
    for parent, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".") or not path.is_file() or not path.resolve().is_relative_to(inside):
                continue
            found.append(path)
    return found


def find_series(root: Path, *, on_file: Callable[[], object] | None = None) -> list[Series]:
    """Every series below ``root``, in the order of its places.

    Series whose slices form no regular stack are returned with their ``fault``, and so are damaged files, by folder; files that are
    no image are passed over.
    """
    images: list[Series] = []
    unread: dict[Path, list[Path]] = {}
    arrays: dict[Path, list[Path]] = {}

    def dicom() -> Iterator[Path]:
        for path in files_below(root):
            if on_file is not None:
                on_file()
            name = path.name.lower()
            if name == LABELS or name.endswith((".json", ".csv", ".txt", ".tsv", ".md", ".png")):
                continue
            if name.endswith(IMAGE_SUFFIXES):
                if not maps_another(path):
                    images.append(_image(root, path))
            elif name.endswith(SLICE_ARRAYS):
                arrays.setdefault(path.parent, []).append(path)
            else:
                yield path

    def unusable(path: Path, error: VolumeError) -> None:
        if error.code != "not_dicom" or path.suffix.lower() in _DICOM_SUFFIXES or _empty(path):
            unread.setdefault(path.parent, []).append(path)

    found = group_by_series(
        dicom(),
        keep=plane_of,
        unusable=unusable,
        without_uid=lambda path: f"no UID in {path.parent}",
        keywords=KEYWORDS,
    )
    stacks = [series for uid, one in found.items() for series in stacks_of(root, uid, one)]
    loose = [_arrays(root, folder, paths) for folder, paths in arrays.items()]
    damaged = [_unread(root, folder, paths) for folder, paths in unread.items()]
    return sorted([*stacks, *images, *loose, *damaged], key=lambda one: (one.place, one.uid, one.acquisition))


def _empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:  # it went away, or may not be looked at: not readable either
        return True


def _unread(root: Path, folder: Path, paths: Sequence[Path]) -> Series:
    """Files of a folder that are damaged, empty or may not be opened: never part of a series, but told."""
    names = ", ".join(path.name for path in paths[:_NAMED])
    rest = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return Series(
        place=folder.relative_to(root).as_posix(),
        files=tuple(paths),
        fault=f"{names}{rest} cannot be read as DICOM: empty, damaged or not permitted",
        code="file_unreadable",
    )


def _image(root: Path, path: Path) -> Series:
    place = path.relative_to(root).as_posix()
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:  # SimpleITK raises nothing else
        return Series(place=place, files=(path,), fault="the file cannot be read as an image", code="file_unreadable")
    size, spacing = reader.GetSize(), reader.GetSpacing()
    if len(size) != 3 or min(size) < 2 or size[2] < MIN_SLICES:
        return Series(place=place, files=(path,), fault=f"its size {' x '.join(map(str, size))} is no volume")
    affine = np.eye(4)
    affine[:3, :3] = np.array(reader.GetDirection()).reshape(3, 3) * np.array(spacing)
    affine[:3, 3] = reader.GetOrigin()
    shape = (int(size[2]), int(size[1]), int(size[0]))
    return Series(
        place=place,
        files=(path,),
        shape=shape,
        spacing_mm=(float(spacing[2]), float(spacing[1]), float(spacing[0])),
        corners_mm=corners_of(affine, shape),
    )


def _arrays(root: Path, folder: Path, paths: list[Path]) -> Series:
    """Slices, or one volume, as ``.npy``: HU + 1024 without geometry (see `train.prepare.scan`)."""
    place = (folder if len(paths) > 1 else paths[0]).relative_to(root).as_posix()
    return Series(place=place, files=tuple(paths))
