"""Trees of single-file images as public data sets and other frameworks lay them out.

===========  =======================================================================================================
``nnunet``   nnU-Net's raw data: ``imagesTr/CASE_0000.nii.gz`` and so on, channels named in ``dataset.json``
``bids``     ``sub-X[/ses-Y]/ct/sub-X[_ses-Y]_ce-PHASE_ct.nii.gz``
``files``    one file name in several folders: ``imagesTr`` and ``targetsTr``, ``trainA`` and ``trainB``
===========  =======================================================================================================

A phase that no name tells is left to the image.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from train.prepare.maps import DATASET, is_label_map
from train.prepare.series import Series
from train.prepare.words import Guess, phase_in_full_name, phase_in_words
from train.store import Split

_MOST: Final = 0.8
_CHANNEL: Final = re.compile(r"(.+)_(\d{4})")
_BIDS: Final = re.compile(r"(sub-[A-Za-z0-9]+)(?:_|$)")
_SESSION: Final = re.compile(r"ses-([A-Za-z0-9]+)")
_DATE: Final = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
_TEST_FOLDER: Final = re.compile(r"(?:images|targets|labels)Ts|test[AB]?", re.IGNORECASE)
_VALIDATION_FOLDER: Final = re.compile(r"val(?:id(?:ation)?)?[AB]?", re.IGNORECASE)
_ROLE_FOLDER: Final = re.compile(
    r"(?:images?|targets?|sources?|inputs?|outputs?|contrast|train|test|val)(?:Tr|Ts|_?[AB])?|[AB]", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a data set's naming says about a file."""

    patient: str
    study: str = ""
    phase: Guess | None = None
    said_by: str = ""
    split: Split | None = None


def naming_of(series: Sequence[Series]) -> str | None:
    """``nnunet``, ``bids`` or ``files`` where nearly all are single files named so, else ``None``."""
    images = [one for one in series if not (one.is_dicom or one.is_arrays or is_label_map(one))]
    if not images or len(images) < _MOST * sum(not one.fault for one in series if not is_label_map(one)):
        return None
    stems = [one.parts[-1] for one in images]
    if sum(_BIDS.match(stem) is not None for stem in stems) >= _MOST * len(images):
        return "bids"
    if sum(_CHANNEL.fullmatch(stem) is not None for stem in stems) >= _MOST * len(images):
        return "nnunet"
    folders: dict[str, set[str]] = {}
    for one in images:
        if one.parts[:-1] and _is_role(one.parts[-2]):
            folders.setdefault(one.parts[-1], set()).add(one.parts[-2])
    twins = sum(len(folders.get(stem, ())) > 1 for stem in stems)
    return "files" if twins >= _MOST * len(images) else None


def _is_role(folder: str) -> bool:
    """Whether a folder's name says what part its files play, so that equal file names in two such are one case."""
    return bool(_ROLE_FOLDER.fullmatch(folder)) or phase_in_full_name(folder) is not None


def session_in(parts: Sequence[str]) -> str:
    """The session or day that names tell, ``ses-2`` or ``20190314``; empty where they tell none."""
    for part in reversed(parts):
        session = _SESSION.search(part)
        if session is not None:
            return f"ses-{session[1]}"
        day = _DATE.search(part)
        if day is not None:
            return "".join(day.groups())
    return ""


def named(one: Series, naming: str, *, root: Path) -> Named:
    """What ``nnunet``, ``bids`` or ``files`` says about one file."""
    stem, folders = one.parts[-1], one.parts[:-1]
    if naming == "nnunet":
        match = _CHANNEL.fullmatch(stem)
        patient, channel = (match[1], int(match[2])) if match else (stem, 0)
        name = _channels(one, root).get(channel, "")
        phase = _spelt(name)
        return Named(
            patient=patient,
            study=session_in((stem,)),
            phase=phase,
            said_by=f"channel {channel} of {DATASET}" if phase else "",
            split=_split(folders),
        )
    if naming == "bids":
        match = _BIDS.match(stem)
        entities = [part.partition("-")[2] for part in stem.split("_") if part.startswith(("ce-", "acq-", "desc-"))]
        told = [phase for entity in entities if (phase := _entity(entity)) is not None]
        patient = match[1] if match else stem
        phase = told[0] if told else _spelt(stem.removeprefix(patient))
        return Named(
            patient=patient, study=session_in(one.parts), phase=phase, said_by="file name" if phase else "", split=None
        )
    phase = next((found for part in reversed(folders) if (found := _spelt(part)) is not None), None)
    return Named(
        patient=stem,
        study=session_in(one.parts),
        phase=phase,
        said_by="folder name" if phase else "",
        split=_split(folders),
    )


def _entity(value: str) -> Guess | None:
    """BIDS: ``ce-none`` is a scan without contrast."""
    return "native" if value.lower() in ("none", "no", "without") else _spelt(value)


def _spelt(name: str) -> Guess | None:
    return phase_in_full_name(name) or phase_in_words(name)


def _split(folders: Sequence[str]) -> Split | None:
    for part in folders:
        if _TEST_FOLDER.fullmatch(part):
            return "test"
        if _VALIDATION_FOLDER.fullmatch(part):
            return "validation"
    return None


def _channels(one: Series, root: Path) -> Mapping[int, str]:
    """Channel → name from the nearest ``dataset.json``: ``channel_names``, or ``modality`` of the first nnU-Net."""
    for folder in one.files[0].parents:
        path = folder / DATASET
        if path.is_file():
            try:
                held = json.loads(path.read_text(encoding="utf-8"))
                names = held.get("channel_names") or held.get("modality") or {}
                return {int(key): str(name) for key, name in names.items()}
            except (OSError, ValueError, AttributeError):  # the phases are then told by the images
                return {}
        if folder == root:
            break
    return {}
