"""Subjects in folder trees: where their label maps, names and CT are, and reading them.

A folder tree holds *subjects*. A subject is a folder with either

- ``labels.json`` (label → name) and one label map (``seg_completed``, ``seg_rescaled``, ``seg`` or the only image; NIfTI, MetaImage or
  NRRD), or
- ``segmentations/`` with one mask per class, named as TotalSegmentator names them.

``ct.nii.gz`` beside it, or any CT elsewhere in the tree (or in a folder ``volumes`` beside the tree) on exactly the map's grid, is the
subject's image.
"""

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from s2ldm_core.errors import VolumeError
from s2ldm_core.volume import Volume, canonical
from train.anatomy.subject import Subject, prepare
from train.errors import TrainError

MAP_SUFFIXES: Final = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
_PREFERRED: Final = ("seg_completed", "seg_rescaled", "seg", "labels", "segmentation")
_CT_NAMES: Final = ("ct", "image", "native")


@dataclass(frozen=True, kw_only=True)
class SubjectFiles:
    """Where a subject's map, names and CT are; ``maps`` holds one label map, or one mask for each class."""

    name: str
    maps: tuple[Path, ...]
    names: Path | None
    ct: Path | None
    licence: str


def find_subjects(anatomy: Path) -> list[SubjectFiles]:
    """All subjects of a folder tree, by name.

    Raises
    ------
    TrainError
        ``anatomy_missing`` when there is none.
    """
    found = [subject for folder in _folders(anatomy) if (subject := _subject(folder)) is not None]
    if not found:
        raise TrainError(
            "anatomy_missing",
            f"There is no label map in {anatomy}.",
            "Give a folder of subjects, each with labels.json and a label map, or with TotalSegmentator's segmentations/*.nii.gz.",
        )
    if any(files.ct is None and files.names is not None for files in found):
        images = _grids(anatomy)
        found = [_with_ct(files, images) for files in found]
    return found


def _folders(anatomy: Path) -> list[Path]:
    return sorted({anatomy, *(path for path in anatomy.rglob("*") if path.is_dir() and path.name != "segmentations")})


def _with_ct(files: SubjectFiles, images: dict[Path, tuple[Any, ...]]) -> SubjectFiles:
    """The subject with the first image that lies on exactly its map's grid."""
    if files.ct is not None or files.names is None:
        return files
    grid = _grid(files.maps[0])
    return replace(
        files,
        ct=next((path for path, other in images.items() if path.parent != files.names.parent and other == grid), None),
    )


def _stem(path: Path) -> str:
    return next((path.name[: -len(suffix)] for suffix in MAP_SUFFIXES if path.name.lower().endswith(suffix)), "")


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and _stem(path))


def _subject(folder: Path) -> SubjectFiles | None:
    masks = folder / "segmentations"
    inside = _images_in(folder)
    own_ct = next((path for path in inside if _stem(path) in _CT_NAMES), None)
    if masks.is_dir() and _images_in(masks):
        return SubjectFiles(
            name=folder.name, maps=tuple(_images_in(masks)), names=None, ct=own_ct, licence=provenance(folder)
        )
    names = folder / "labels.json"
    maps = [path for path in inside if path != own_ct]
    if not names.is_file() or not maps:
        return None
    order = {stem: rank for rank, stem in enumerate(_PREFERRED)}
    best = min(maps, key=lambda path: (order.get(_stem(path), len(order)), path.name))
    return SubjectFiles(name=folder.name, maps=(best,), names=names, ct=own_ct, licence=provenance(folder))


def provenance(folder: Path) -> str:
    """Where a subject comes from and under which licence, at most 600 characters.

    That is its ``licence.txt``'s first line; else, of the section with the folder's name in a ``README.md`` up to two folders above, the
    sentences that speak of origin or licence.
    """
    own = folder / "licence.txt"
    if own.is_file():
        return next((line.strip() for line in own.read_text(encoding="utf-8").splitlines() if line.strip()), "")[:600]
    for place in list(folder.parents)[:2]:
        if (place / "README.md").is_file():
            text = (place / "README.md").read_text(encoding="utf-8")
            found = re.search(rf"^#+ {re.escape(folder.name)}[^\n]*\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
            if found:
                sentences = re.split(r"(?<=[.])\s+(?=[A-Z*-])", " ".join(found[1].split()))
                return " ".join(s for s in sentences if re.search(r"^Origin|[Ll]icen[cs]e|\bCC BY|Apache-2", s))[:600]
    return ""


def _grid(path: Path) -> tuple[Any, ...]:
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


def _grids(anatomy: Path) -> dict[Path, tuple[Any, ...]]:
    """Grid of every image that could be some subject's CT: those outside subjects with labels, and of ``volumes`` beside the tree."""
    beside = anatomy.resolve().parent / "volumes"
    paths = [
        path
        for folder in (anatomy, beside)
        if folder.is_dir()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _stem(path)
    ]
    return {
        path: _grid(path) for path in paths if path.parent.name != "segmentations" and not _stem(path).startswith("seg")
    }


@lru_cache(maxsize=2)
def read_subject(files: SubjectFiles) -> Subject:
    """Read a subject's map and CT and prepare them.

    Raises
    ------
    TrainError
        ``anatomy_unreadable``, naming the file; ``AnatomyError`` of the core where the map itself is wrong.
    """
    if files.names is not None:
        volume = _read(files.maps[0])
        names = {int(key): str(value) for key, value in json.loads(files.names.read_text(encoding="utf-8")).items()}
    else:
        volume, names = _combined(files.maps)
    turned, _ = canonical(volume)
    ct = None
    if files.ct is not None:
        image, _ = canonical(_read(files.ct))
        if image.shape != turned.shape or not np.allclose(image.affine, turned.affine, atol=0.05):
            raise TrainError(
                "anatomy_grid",
                f"{files.ct} is not on the grid of {files.maps[0]}.",
                "Resample one of them, or move the CT away.",
            )
        ct = image.hu
    return prepare(
        files.name,
        turned.hu.astype(np.int32),
        names,
        spacing_mm=turned.spacing_mm,
        ct_hu=ct,
        licence=files.licence,
    )


def _combined(masks: tuple[Path, ...]) -> tuple[Volume, dict[int, str]]:
    """One map of masks, later names over earlier ones where they overlap."""
    total: Volume | None = None
    names = {}
    for value, path in enumerate(masks, start=1):
        mask = _read(path)
        if total is None:
            total = mask.with_hu(np.zeros(mask.shape, np.float32))
        if mask.shape != total.shape:
            raise TrainError(
                "anatomy_grid", f"{path} has another grid than {masks[0]}.", "Write all masks of a subject on one grid."
            )
        total.hu[mask.hu > 0.5] = value
        names[value] = _stem(path)
    assert total is not None  # noqa: S101 - a subject has at least one mask
    return total, names


def _read(path: Path) -> Volume:
    """An image of any pixel type; `s2ldm_core.io` takes Hounsfield units only."""
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path))
        affine = np.eye(4)
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        affine[:3, 3] = image.GetOrigin()
        return Volume(hu=sitk.GetArrayFromImage(image).astype(np.float32), affine=affine)
    except (RuntimeError, ValueError, VolumeError) as error:
        raise TrainError(
            "anatomy_unreadable", f"{path} cannot be read as a volume.", "Write it again as a three-dimensional NIfTI."
        ) from error
