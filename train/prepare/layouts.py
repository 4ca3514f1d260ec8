"""How folders are laid out: which patient a series belongs to and which phase its place names.

==============  ====================================================================================================
``folders``       any tree of DICOM studies; patient and study from the headers, phases from tags and image
``phase-folders`` ``PATIENT/PHASE/…`` or ``PATIENT/…phase….nii.gz``, as VinDr-Multiphase exports and WAW-TACE are
``coltea``        ``PATIENT/{NATIVE,ARTERIAL,VENOUS}/[DICOM/]*``; slices of the phases are paired by file name
``mp-act``        ``PATIENT/{NCCT,A,V}``: the in-house set of the S2LDM paper (window 400/0, 4:1 without a test split)
``phantom``       as ``s2ldm-train phantom --dicom`` writes
==============  ====================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from train.prepare.phase import Guess, phase_in_name
from train.prepare.series import LABELS, Series
from train.store import Split

Layout = Literal["auto", "folders", "phase-folders", "coltea", "mp-act", "phantom"]
LAYOUTS: Final[tuple[Layout, ...]] = ("auto", "folders", "phase-folders", "coltea", "mp-act", "phantom")

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
    labels: Path | None = None
    by_name: bool = False


def recognise(series: Sequence[Series]) -> Layout:
    """The layout that most of the places follow."""
    sound = [one for one in series if not one.fault] or list(series)
    if not sound:
        return "folders"
    if all(_PHANTOM.fullmatch(one.parts[0]) for one in sound if one.parts):
        return "phantom"
    coltea = sum(bool(_COLTEA.intersection(one.parts[1:])) for one in sound)
    if coltea >= _MOST * len(sound):
        return "coltea"
    named = sum(_phase_part(one) is not None for one in sound)
    return "phase-folders" if named >= _MOST * len(sound) else "folders"


def lay_out(series: Sequence[Series], *, layout: Layout, root: Path) -> list[Candidate]:
    """What the layout says about every series."""
    if layout == "auto":
        layout = recognise(series)
    if layout == "folders":
        return [_by_headers(one, root) for one in series]
    return [_by_place(one, root, by_name=layout == "coltea") for one in series]


def _by_headers(one: Series, root: Path) -> Candidate:
    folder = one.parts[0] if one.parts else one.place
    labels = _labels(root, one)
    return Candidate(series=one, patient=one.patient or folder, study=one.study, labels=labels)


def _by_place(one: Series, root: Path, *, by_name: bool) -> Candidate:
    index = _phase_part(one)
    parts = one.parts
    if index is None:
        return Candidate(series=one, patient=parts[0] if parts else one.place, labels=_labels(root, one))
    patient = parts[index - 1] if by_name and index > 0 else _patient(parts, index)
    return Candidate(
        series=one,
        patient=patient,
        phase=phase_in_name(parts[index]),
        said_by="folder or file name",
        labels=_labels(root, one),
        by_name=by_name,
    )


def _phase_part(one: Series) -> int | None:
    """Which part of the place names a phase; the innermost that does."""
    for index in range(len(one.parts) - 1, -1, -1):
        if phase_in_name(one.parts[index]) is not None:
            return index
    return None


def _patient(parts: tuple[str, ...], phase_at: int) -> str:
    """The folders that name no phase, or what stands before the phase in a file's name."""
    others = [part for index, part in enumerate(parts[: phase_at + 1]) if index != phase_at and phase_in_name(part) is None]
    if others:
        return "/".join(others)
    if len(parts) > phase_at + 1:  # PHASE/PATIENT
        return parts[phase_at + 1]
    head = re.split(r"[\W_]+", parts[phase_at])[0]
    return head if head and phase_in_name(head) is None else parts[phase_at]


def _labels(root: Path, one: Series) -> Path | None:
    """The label map beside a series, else beside its study."""
    folder = root / one.place
    folder = folder if folder.is_dir() else folder.parent
    for place in (folder, folder.parent):
        if (place / LABELS).is_file() and place.resolve().is_relative_to(root.resolve()):
            return place / LABELS
        if place == root:
            break
    return None
