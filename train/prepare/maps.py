"""Which file is the label map of a scan, and which file says what its labels mean.

==============  ================================================================  ==========================================
``folders`` …   ``labels.nii.gz`` beside a study, ``seg_SCAN`` beside a scan        ``labels.json`` beside it
``nnunet``      ``labelsTr/CASE``, ``labelsTs/CASE``                                ``labels`` of ``dataset.json``
``files``       the same file name in ``labels``, ``masks`` or ``segmentations``    ``labels.json`` or ``dataset.json``
``bids``        ``…_dseg`` with the scan's own entities                             ``…dseg.tsv`` beside it or above it
==============  ================================================================  ==========================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from s2ldm_core.io.image import IMAGE_SUFFIXES
from train.prepare.series import Series, stem

#: Label maps that may lie beside the images.
LABELS: Final = "labels.nii.gz"
#: What their labels mean.
NAMES: Final = "labels.json"
#: nnU-Net's description of a data set.
DATASET: Final = "dataset.json"
_UNKNOWN: Final = "ignore"
"""nnU-Net's name for voxels that nobody has labelled."""
_MAP_OF: Final = "seg_"
_FOLDER: Final = re.compile(r"(?:labels|masks?|segmentations?)(Tr|Ts)?", re.IGNORECASE)
_IMAGE_FOLDER: Final = re.compile(r".*?(Tr|Ts)?")
_BIDS_MAP: Final = re.compile(r"(.+)_(dseg|mask|probseg)")
_BIDS_LABELS: Final = "dseg"
"""BIDS suffix of maps of several labels and of the tables that name them; masks and probabilities have no names."""
_OF_THE_MAP: Final = ("desc", "space", "res", "den", "label", "seg", "atlas")
"""BIDS entities that tell maps of one scan apart."""


class MapFile(NamedTuple):
    """A label map and the file that names its labels."""

    image: Path
    names: Path

    @classmethod
    def beside(cls, image: Path) -> MapFile:
        """Named by the `NAMES` beside it."""
        return cls(image, image.with_name(NAMES))


def is_label_map(one: Series) -> bool:
    """Whether a file lies in a data set's folder of label maps, or is called one as BIDS calls them."""
    if one.is_dicom:
        return False
    bids = one.parts[-1].startswith("sub-") and _BIDS_MAP.fullmatch(one.parts[-1]) is not None
    return bids or any(_FOLDER.fullmatch(part) for part in one.parts[:-1])


def map_beside(image: Path) -> Path | None:
    """The label map of a single-file image: ``seg_<its name>`` beside it in any format of images, and `NAMES`."""
    if not image.with_name(NAMES).is_file():
        return None
    places = (image.with_name(f"{_MAP_OF}{stem(image.name)}{suffix}") for suffix in IMAGE_SUFFIXES)
    return next((path for path in places if path.is_file()), None)


def maps_another(path: Path) -> bool:
    """Whether a single-file image is the label map of one beside it, as `map_beside` finds it."""
    if not (path.name.startswith(_MAP_OF) and path.with_name(NAMES).is_file()):
        return False
    image = stem(path.name).removeprefix(_MAP_OF)
    return any(path.with_name(f"{image}{suffix}").is_file() for suffix in IMAGE_SUFFIXES)


def map_in_folder(root: Path, one: Series) -> MapFile | None:
    """The label map of a series' own name, else the one beside it, else the one beside its study."""
    folder = root / one.place
    if not folder.is_dir():
        own = map_beside(folder)
        if own is not None and own.resolve().is_relative_to(root.resolve()):
            return MapFile.beside(own)
        folder = folder.parent
    for place in (folder, folder.parent):
        if (place / LABELS).is_file() and place.resolve().is_relative_to(root.resolve()):
            return MapFile.beside(place / LABELS)
        if place == root:
            break
    return None


def maps_by_case(series: Sequence[Series], *, naming: str) -> dict[str, list[Series]]:
    """The label maps of a tree (`is_label_map`) by what ``nnunet``, ``bids`` or ``files`` calls their case."""
    found: dict[str, list[Series]] = {}
    for one in series:
        if is_label_map(one):
            name = one.parts[-1]
            found.setdefault(name.partition("_")[0] if naming == "bids" else name, []).append(one)
    return found


def map_in_dataset(one: Series, maps: Sequence[Series], *, naming: str, root: Path) -> MapFile | None:
    """That of the label maps of a file's case which is the file's: of as many voxels each way, called so, and with named labels."""
    nearness = _bids if naming == "bids" else _twin
    closest = sorted(
        (near, each.place, each)
        for each in maps
        if each.shape is not None and each.shape == one.shape and (near := nearness(one, each)) is not None
    )
    for _, _, each in closest:
        names = names_of(each, root)
        if names is not None:
            return MapFile(each.files[0], names)
    return None


def names_of(one: Series, root: Path) -> Path | None:
    """The file that names the labels of a data set's label map."""
    image, inside = one.files[0], root.resolve()
    entities = set(stem(image.name).split("_"))
    for folder in _up_to(root, image):
        near = sorted(folder.glob(f"*{_BIDS_LABELS}.tsv")) if _BIDS_LABELS in entities else []
        tables = (path for path in near if set(path.stem.split("_")) <= entities)
        for path in (folder / NAMES, folder / DATASET, *tables):
            if path.is_file() and path.resolve().is_relative_to(inside):
                return path
    return None


def names_in(path: Path) -> Mapping[str, object]:
    """What a file of names says: id → name or name → id. Regions of nnU-Net, which are several labels, are left out.

    Raises
    ------
    OSError, ValueError, TypeError, LookupError, AttributeError
        It cannot be read as what it is called.
    """
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".tsv":
        rows = [line.split("\t") for line in text.splitlines() if line.strip()]
        number, name = (rows[0].index(column) for column in ("index", "name"))
        return {row[number]: row[name] for row in rows[1:]}
    held = json.loads(text)
    if path.name == DATASET:
        held = {key: value for key, value in held["labels"].items() if key != _UNKNOWN and not isinstance(value, list)}
    named: Mapping[str, object] = held
    return named


def _up_to(root: Path, path: Path) -> Iterator[Path]:
    """The folders that ``path`` lies in, from the innermost to ``root``."""
    for folder in path.parents:
        yield folder
        if folder == root:
            return


def _twin(one: Series, each: Series) -> int | None:
    """0 where a label map lies in the folder of labels beside the image's folder, with ``Tr`` and ``Ts`` alike; 1 where that folder
    says neither."""
    if each.parts[:-2] != one.parts[:-2] or min(len(each.parts), len(one.parts)) < 2:
        return None
    labels, images = _FOLDER.fullmatch(each.parts[-2]), _IMAGE_FOLDER.fullmatch(one.parts[-2])
    if labels is None or images is None:
        return None
    role, wanted = ((match[1] or "").lower() for match in (labels, images))
    return 0 if role == wanted else 1 if not role else None


def _bids(one: Series, each: Series) -> int | None:
    """How many of the scan's entities the label map does not name; ``None`` where it names another's."""
    match = _BIDS_MAP.fullmatch(each.parts[-1])
    if match is None or match[2] != _BIDS_LABELS:
        return None
    entities = set(one.parts[-1].split("_")[:-1])
    named = {part for part in match[1].split("_") if part.partition("-")[0] not in _OF_THE_MAP}
    return len(entities - named) if named <= entities else None
