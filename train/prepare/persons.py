"""Which of a tree's patients are one person: two names for one must not fall into two splits."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from train.errors import TrainError
from train.prepare.layouts import Candidate

# What more patients share, such as the ID ANONYMOUS or a UID that de-identification wrote everywhere, names nobody.
_MOST_NAMES: Final = 3


def one_person_each(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates with their ``person``: patients are one where they share a study, a frame of reference, name and birth date, or
    Patient ID, unless that stands for everybody.

    Raises
    ------
    TrainError
        ``split_straddled`` when a table puts one person into two splits or two folds.
    """
    parent = {one.patient: one.patient for one in candidates}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for links in (
        ((one.series.study, one.patient) for one in candidates),
        ((one.series.frame_of_reference_uid or "", one.patient) for one in candidates),
        ((one.series.identity, one.patient) for one in candidates),
        ((_bare(one.series.patient), one.patient) for one in candidates),
    ):
        for names in _sharing(links):
            ends = sorted({root(name) for name in names})
            for end in ends[1:]:
                parent[end] = ends[0]
    persons = [replace(one, person=root(one.patient)) for one in candidates]
    _refuse_two_places(persons)
    return persons


def _sharing(links: Iterable[tuple[str, str]]) -> list[set[str]]:
    """Patients by what they share, where few share it."""
    found: dict[str, set[str]] = {}
    for key, patient in links:
        if key:
            found.setdefault(key, set()).add(patient)
    return [names for names in found.values() if 1 < len(names) <= _MOST_NAMES]


def _bare(patient: str) -> str:
    """A Patient ID without what is written now so, now otherwise: capitals, blanks, hyphens, leading zeros."""
    return "".join(sign for sign in patient.upper() if sign.isalnum()).lstrip("0")


def _refuse_two_places(candidates: Iterable[Candidate]) -> None:
    splits: dict[str, dict[str, str]] = {}
    folds: dict[str, dict[str, str]] = {}
    for one in candidates:
        if one.split is not None:
            splits.setdefault(one.person, {})[one.split] = one.patient
        if one.fold is not None:
            folds.setdefault(one.person, {})[f"fold {one.fold}"] = one.patient
    for held in (*splits.values(), *folds.values()):
        if len(held) > 1:
            told = ", ".join(f"{patient} in {place}" for place, patient in sorted(held.items()))
            raise TrainError(
                "split_straddled",
                f"The table puts one person into several splits or folds: {told}.",
                "They share a study, a frame of reference, name and birth date, or Patient ID. Give them one split and one fold.",
            )
