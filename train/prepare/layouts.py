"""How folders are laid out: which patient a series belongs to and which phase its place names.

==============  ====================================================================================================
``folders``       any tree of DICOM studies; patient and study from the headers, phases from tags and image
``phase-folders`` ``PATIENT/PHASE/…`` or ``PATIENT/…phase….nii.gz``, as VinDr-Multiphase exports and WAW-TACE are
``coltea``        ``PATIENT/{NATIVE,ARTERIAL,VENOUS}/[DICOM/]*``; slices of the phases are paired by file name
``mp-act``        ``PATIENT/{NCCT,A,V}``: the in-house set of the S2LDM paper (window 400/0, 4:1 without a test split)
``phantom``       as ``s2ldm-train phantom --dicom`` writes
``nnunet``, ``bids``, ``files``  single-file images named as other frameworks name them (see `train.prepare.datasets`)
==============  ====================================================================================================
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast, get_args

from train.prepare.datasets import named, naming_of, session_in
from train.prepare.maps import MapFile, is_label_map, map_in_dataset, map_in_folder, maps_by_case
from train.prepare.series import Series
from train.prepare.words import Guess, phase_in_full_name, phase_in_name
from train.store import Split

Layout = Literal["auto", "folders", "phase-folders", "coltea", "mp-act", "phantom", "nnunet", "bids", "files"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)
#: Those of single files named as other frameworks name them, label maps among them.
DATASETS: Final[tuple[Layout, ...]] = ("nnunet", "bids", "files")

_PHANTOM: Final = re.compile(r"(?:phantom|anatomy)-\d+", re.IGNORECASE)
_COLTEA: Final = frozenset({"NATIVE", "ARTERIAL", "VENOUS"})
# A tree is laid out by phase when nearly all of it is; a few stray series may be localizers.
_MOST: Final = 0.8


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A series and what its layout says about it.

    Attributes
    ----------
    patient, study
        Who and which examination; kept in memory and in the private ledger only (see `train.prepare.ledger`).
    person
        The same for all patients who are one person under several names (see `train.prepare.persons`).
    phase
        The phase that the place or table names; ``None`` leaves it to tags and image.
    binding
        Whether ``phase`` was written by the user for this series (a table) and is not put to the test.
    labels
        Label map beside the series, for its own voxels or the study's.
    by_name
        Whether its slices are paired with the native ones by file name.
    """

    series: Series
    patient: str
    study: str = ""
    phase: Guess | None = None
    said_by: str = ""
    binding: bool = False
    split: Split | None = None
    fold: int | None = None
    labels: MapFile | None = None
    by_name: bool = False
    person: str = ""


def recognise(series: Sequence[Series]) -> Layout:
    """The layout that most of the places follow."""
    sound = [one for one in series if not one.fault] or list(series)
    if not sound:
        return "folders"
    if all(_PHANTOM.fullmatch(one.parts[0]) for one in sound if one.parts):
        return "phantom"
    naming = naming_of(sound)
    if naming is not None:
        return cast(Layout, naming)
    if _heads_disagree(sound):
        return "folders"
    coltea = sum(bool(_COLTEA.intersection(one.parts[1:])) for one in sound)
    if coltea >= _MOST * len(sound):
        return "coltea"
    named = sum(_phase_part(one) is not None for one in sound)
    return "phase-folders" if named >= _MOST * len(sound) else "folders"


def lay_out(series: Sequence[Series], *, layout: Layout, root: Path) -> list[Candidate]:
    """What the layout says about every series."""
    if layout == "auto":
        layout = recognise(series)
    if layout in DATASETS:
        maps = maps_by_case(series, naming=layout)
        return [_by_naming(one, layout, root, maps) for one in series if not is_label_map(one)]
    if layout == "folders":
        return [_by_headers(one, root) for one in series]
    shared = _shared_depth([outer for one in series if (outer := _outer(one))])
    return [_by_place(one, root, by_name=layout == "coltea", shared=shared) for one in series]


def _heads_disagree(series: Sequence[Series]) -> bool:
    """Whether headers know of several patients where the places would make one: ``CASE_A`` and ``CASE_N`` are no phases then."""
    shared = _shared_depth([outer for one in series if (outer := _outer(one))])
    ids: dict[str, set[str]] = {}
    for one in series:
        index = _phase_part(one)
        if one.patient and index is not None and phase_in_full_name(one.parts[index]) is None:
            ids.setdefault(_by_place(one, Path(), by_name=False, shared=shared).patient, set()).add(one.patient)
    return any(len(found) > 1 for found in ids.values())


def _by_naming(one: Series, naming: str, root: Path, maps: Mapping[str, list[Series]]) -> Candidate:
    says = named(one, naming, root=root)
    return Candidate(
        series=one,
        patient=says.patient,
        study=says.study,
        phase=says.phase,
        said_by=says.said_by,
        split=says.split,
        labels=map_in_dataset(one, maps.get(says.patient, []), naming=naming, root=root),
    )


def _by_headers(one: Series, root: Path) -> Candidate:
    folder = one.parts[0] if one.parts else one.place
    study = one.study or session_in(one.parts)
    return Candidate(series=one, patient=one.patient or folder, study=study, labels=map_in_folder(root, one))


def _by_place(one: Series, root: Path, *, by_name: bool, shared: int) -> Candidate:
    """The first folder that not all series share is the patient, further ones down to the phase are the study.

    So two studies of a patient never fall into two splits; sites as the first folder do no harm but make large patients.
    """
    index, parts = _phase_part(one), one.parts
    outer = _outer(one)[shared:] or _outer(one)[-1:]
    return Candidate(
        series=one,
        patient=outer[0] if outer else _named_beside_phase(one, index),
        study="/".join((*outer[1:], *((session,) if (session := _session(one)) else ()))),
        phase=None if index is None else phase_in_name(parts[index]),
        said_by="" if index is None else "folder or file name",
        labels=map_in_folder(root, one),
        by_name=by_name,
    )


def _session(one: Series) -> str:
    """The session or day in the name of the file or folder that names the phase; those of outer folders make the study anyway."""
    index = _phase_part(one)
    return session_in(one.parts[-1:] if index is None else one.parts[index:])


def _outer(one: Series) -> tuple[str, ...]:
    """The folders outside the one that names the phase; for a series without one, its first folder."""
    index = _phase_part(one)
    return one.parts[:1] if index is None else one.parts[:index]


def _shared_depth(outer: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all series have in common."""
    depth = 0
    while outer and all(len(one) > depth + 1 and one[depth] == outer[0][depth] for one in outer):
        depth += 1
    return depth


def _named_beside_phase(one: Series, index: int | None) -> str:
    """The patient where no folder lies outside the phase: ``PHASE/PATIENT``, the header's, or what the file's name begins with."""
    parts = one.parts
    if one.patient and index is not None and len(parts) == index + 1:
        return one.patient
    if index is None or len(parts) > index + 1:
        return parts[-1] if parts else one.place
    head = re.split(r"[\W_]+", parts[index])[0]
    return head if head and phase_in_name(head) is None else parts[index]


def _phase_part(one: Series) -> int | None:
    """Which part of the place names a phase; the innermost that does."""
    for index in range(len(one.parts) - 1, -1, -1):
        if phase_in_name(one.parts[index]) is not None:
            return index
    return None
