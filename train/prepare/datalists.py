"""MONAI's data lists: JSON with lists of items, an item a patient with a path under each key."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from train.errors import TrainError
from train.prepare.layouts import Candidate
from train.prepare.pairing import Rejection
from train.prepare.series import Series, stem
from train.prepare.tables import SeriesIndex, place_of_fold
from train.prepare.words import phase_in_full_name
from train.store import Split

_LISTS: Final[Mapping[str, Split | None]] = {
    "training": None,
    "train": None,
    "validation": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
_NOT_PATHS: Final = ("fold", "patient", "subject", "id", "case", "split")
_WHO: Final = ("patient", "subject", "id", "case")


def read_datalist(path: Path, series: Sequence[Series], *, root: Path) -> tuple[list[Candidate], list[Rejection]]:
    """The series that a data list names.

    A key that names a phase (``native``, ``arterial``) gives that phase; other keys (``image``, ``label``) leave it to name and
    image. A ``fold`` of 0 validates.

    Raises
    ------
    TrainError
        ``table_unreadable`` or ``table_columns``.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise TrainError("table_unreadable", f"{path} cannot be read as JSON: {error}.", "Save it as UTF-8.") from error
    lists = {name: held[name] for name in _LISTS if isinstance(held, dict) and isinstance(held.get(name), list)}
    if not lists:
        raise TrainError(
            "table_columns",
            f"{path.name} has none of the lists {', '.join(_LISTS)}.",
            'Give {"training": [{"native": "a/native.nii.gz", "venous": "a/venous.nii.gz"}, …]}.',
        )
    index = SeriesIndex(series, root)
    candidates: list[Candidate] = []
    rejections: list[Rejection] = []
    for name, items in lists.items():
        for number, item in enumerate(items):
            split, fold = place_of_fold(str(item.get("fold", "")) if isinstance(item, dict) else "")
            for key, which in _paths(item):
                found = index.find(which)
                if found is None:
                    reason = f"{name}, item {number}: no series {which}"
                    rejections.append(Rejection(place=which, phase="", code="series_missing", reason=reason))
                    continue
                phase = phase_in_full_name(key)
                candidates.append(
                    Candidate(
                        series=found,
                        patient=_who(item, name, number),
                        phase=phase,
                        said_by=path.name if phase else "",
                        binding=phase is not None,
                        split=_LISTS[name] or split,
                        fold=fold,
                    )
                )
    return candidates, rejections


def _paths(item: Any) -> Iterator[tuple[str, str]]:
    """Keys and paths of an item; a list of paths under a key gives each."""
    for key, value in item.items() if isinstance(item, dict) else ():
        for which in value if isinstance(value, list) else [value]:
            if key not in _NOT_PATHS and isinstance(which, str):
                yield key, which


def _who(item: Mapping[str, Any], name: str, number: int) -> str:
    """The patient: as a key says, else what the first path begins with."""
    for key in _WHO:
        if item.get(key) is not None:
            return str(item[key])
    first = next((Path(which) for _, which in _paths(item)), Path(f"{name}-{number}"))
    return first.parts[0] if len(first.parts) > 1 and not _shared(first.parts[0]) else stem(first.name)


def _shared(folder: str) -> bool:
    """Whether a folder holds everybody's images."""
    return folder.lower().startswith(("image", "train", "data", "target", "val", "test"))
