"""Subjects in folder trees: where their label maps, names and CT are, and reading them.

A folder tree holds *subjects*. A subject is a folder with either

- ``labels.json`` (label → name) and one label map (``seg_completed``, ``seg_rescaled``, ``seg`` or the only image; NIfTI, MetaImage or
  NRRD), or
- ``segmentations/`` with one mask per class, named as TotalSegmentator names them.

``ct.nii.gz`` beside it, or any CT elsewhere in the tree (or in a folder ``volumes`` or ``series`` beside the tree) on exactly the map's
grid, is the subject's image. A folder with several phases of one patient, each with its own map (``venous`` and ``seg_venous``), holds a
subject for each of them; ``native`` with ``seg_native`` tells the patient's native HU to the others.
"""

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np

from s2ldm_core.volume import Volume, canonical
from train.anatomy.images import Images, read, stem
from train.anatomy.regions import measured_native
from train.anatomy.subject import Subject, contrast_phase, is_native, prepare, structures_of
from train.errors import TrainError

_PREFERRED: Final = ("seg_completed", "seg_rescaled", "seg", "labels", "segmentation")
_CT_NAMES: Final = ("ct", "image", "native")


@dataclass(frozen=True, kw_only=True)
class SubjectFiles:
    """Where a subject's map, names and CT are; ``maps`` holds one label map, or one mask for each class.

    ``ct`` is an image, or a folder with a DICOM series. ``patient`` is whose scan it is where several subjects are the same person's, and
    ``native`` that person's native scan and its map.
    """

    name: str
    maps: tuple[Path, ...]
    names: Path | None
    ct: Path | None
    licence: str
    patient: str = ""
    native: tuple[Path, Path] | None = None


def find_subjects(anatomy: Path) -> list[SubjectFiles]:
    """All subjects of a folder tree, by name.

    Raises
    ------
    TrainError
        ``anatomy_missing`` when there is none.
    """
    found = [subject for folder in _folders(anatomy) for subject in _subjects(folder)]
    if not found:
        raise TrainError(
            "anatomy_missing",
            f"There is no label map in {anatomy}.",
            "Give a folder of subjects, each with labels.json and a label map, or with TotalSegmentator's segmentations/*.nii.gz.",
        )
    if any(files.ct is None and files.names is not None for files in found):
        images = Images(anatomy)
        found = [
            files if files.ct or files.names is None else replace(files, ct=images.on_grid_of(files.maps[0]))
            for files in found
        ]
    return found


def _folders(anatomy: Path) -> list[Path]:
    return sorted({anatomy, *(path for path in anatomy.rglob("*") if path.is_dir() and path.name != "segmentations")})


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and stem(path))


def _subjects(folder: Path) -> list[SubjectFiles]:
    masks, names = folder / "segmentations", folder / "labels.json"
    inside = _images_in(folder)
    own_ct = next((path for path in inside if stem(path) in _CT_NAMES), None)
    if masks.is_dir() and _images_in(masks):
        maps = tuple(_images_in(masks))
        return [SubjectFiles(name=folder.name, maps=maps, names=None, ct=own_ct, licence=provenance(folder))]
    if not names.is_file() or not inside:
        return []
    phases = _phases(inside)
    if phases:
        return [
            SubjectFiles(
                name=f"{folder.name}-{phase}",
                maps=(label_map,),
                names=names,
                ct=scan,
                licence=provenance(folder),
                patient=folder.name,
                native=phases.get("native") if phase != "native" else None,
            )
            for phase, (scan, label_map) in phases.items()
        ]
    maps = tuple(path for path in inside if path != own_ct)
    if not maps:
        return []
    order = {name: rank for rank, name in enumerate(_PREFERRED)}
    best = min(maps, key=lambda path: (order.get(stem(path), len(order)), path.name))
    return [SubjectFiles(name=folder.name, maps=(best,), names=names, ct=own_ct, licence=provenance(folder))]


def _phases(inside: list[Path]) -> dict[str, tuple[Path, Path]]:
    """The scans of a folder that have a map of their own, ``seg_<scan>``: scan and map by the scan's name."""
    by_name = {stem(path): path for path in inside}
    return {name: (path, by_name[f"seg_{name}"]) for name, path in by_name.items() if f"seg_{name}" in by_name}


def provenance(folder: Path) -> str:
    """Where a subject comes from and under which licence, at most 600 characters.

    That is its ``licence.txt``'s first line; else, of the section with the folder's name in a ``README.md`` up to two folders above, or
    else of its own ``README.md``, the sentences that speak of origin or licence.
    """
    own = folder / "licence.txt"
    if own.is_file():
        return next((line.strip() for line in own.read_text(encoding="utf-8").splitlines() if line.strip()), "")[:600]
    for place in list(folder.parents)[:2]:
        if (place / "README.md").is_file():
            text = (place / "README.md").read_text(encoding="utf-8")
            found = re.search(rf"^#+ {re.escape(folder.name)}[^\n]*\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
            if found:
                return _of_origin(found[1])
    own = folder / "README.md"
    return _of_origin(own.read_text(encoding="utf-8")) if own.is_file() else ""


def _of_origin(text: str) -> str:
    sentences = re.split(r"(?<=[.])\s+(?=[A-Z*-])", " ".join(text.split()))
    return " ".join(s for s in sentences if re.search(r"^Origin|[Ll]icen[cs]e|\bCC BY|Apache-2|TCIA coll", s))[:600]


@lru_cache(maxsize=2)
def read_subject(files: SubjectFiles) -> Subject:
    """Read a subject's map and CT and prepare them.

    Raises
    ------
    TrainError
        ``anatomy_unreadable``, naming the file; ``AnatomyError`` of the core where the map itself is wrong.
    """
    turned, names = _map(files)
    ct = None
    if files.ct is not None:
        image, _ = canonical(read(files.ct))
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
        native_hu=None if files.native is None else _native_hu(files.name, files.native, names),
    )


def phase_shown(files: SubjectFiles) -> Literal["arterial", "venous"] | None:
    """The phase of a subject's contrast CT, where it has one from which enhancement can be taken; a quick look, before `read_subject`."""
    if files.ct is None:
        return None
    turned, names = _map(files)
    ct, _ = canonical(read(files.ct))
    if ct.shape != turned.shape:
        return None
    codes = structures_of(files.name, turned.hu.astype(np.int32), names)
    return None if is_native(codes, ct.hu) else contrast_phase(codes, ct.hu)


def _map(files: SubjectFiles) -> tuple[Volume, dict[int, str]]:
    """A subject's label map, its axes along the patient's, and the labels' names."""
    if files.names is not None:
        volume = read(files.maps[0])
        names = {int(key): str(value) for key, value in json.loads(files.names.read_text(encoding="utf-8")).items()}
    else:
        volume, names = _combined(files.maps)
    return canonical(volume)[0], names


def _native_hu(name: str, native: tuple[Path, Path], names: dict[int, str]) -> dict[str, float]:
    scan, label_map = (read(path) for path in native)
    if scan.shape != label_map.shape:
        raise TrainError(
            "anatomy_grid",
            f"{native[0]} is not on the grid of {native[1]}.",
            "Resample one of them, or move them away.",
        )
    return measured_native(structures_of(name, label_map.hu.astype(np.int32), names), scan.hu)


def _combined(masks: tuple[Path, ...]) -> tuple[Volume, dict[int, str]]:
    """One map of masks, later names over earlier ones where they overlap."""
    total: Volume | None = None
    names = {}
    for value, path in enumerate(masks, start=1):
        mask = read(path)
        if total is None:
            total = mask.with_hu(np.zeros(mask.shape, np.float32))
        if mask.shape != total.shape:
            raise TrainError(
                "anatomy_grid", f"{path} has another grid than {masks[0]}.", "Write all masks of a subject on one grid."
            )
        total.hu[mask.hu > 0.5] = value
        names[value] = stem(path)
    assert total is not None  # noqa: S101 - a subject has at least one mask
    return total, names
