"""A CSV that says which series is which phase of which patient, in the columns that public data sets use."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from train.errors import TrainError
from train.prepare.layouts import Candidate
from train.prepare.pairing import Rejection
from train.prepare.series import Series, stem
from train.prepare.words import PHASES, Phase, phase_in_name, phase_in_words
from train.store import Split

# What a column may be called, in lower case without blanks, underscores and hyphens.
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "patient": ("patient", "patientid", "pid", "subject", "subjectid", "case", "caseid"),
    "study": ("study", "studyinstanceuid", "studyuid", "exam"),
    "series": ("seriesinstanceuid", "seriesuid", "series"),
    "path": ("path", "file", "folder", "filename", "ctfilename", "image"),
    "phase": ("phase", "label", "contrastphase", "ctphase", "phasename"),
    "split": ("split", "set", "subset"),
    "fold": ("fold",),
}
_SPLITS: Final[Mapping[str, Split]] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
_NUMBERED: Final[Mapping[str, Phase]] = dict(zip(("0", "1", "2", "3"), PHASES, strict=True))


def read_table(path: Path, series: Sequence[Series], *, root: Path) -> tuple[list[Candidate], list[Rejection]]:
    """The series a table names, with its phases; rows that fit no series are rejected with the row's number.

    Two forms: one row per series (``patient, phase`` and ``path`` or ``SeriesInstanceUID``), or one row per patient with
    a path in a column of each phase (``patient, native, arterial, venous``).

    Raises
    ------
    TrainError
        ``table_unreadable`` or ``table_columns``.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(text.splitlines(), delimiter=_delimiter(text))
        rows = list(reader)
        names = [name for name in reader.fieldnames or () if name]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainError(
            "table_unreadable", f"{path} cannot be read as CSV: {error}.", "Save it as UTF-8 CSV."
        ) from error
    columns = _columns(names)
    wide = {name: phase for name in names if (phase := _phase_of_column(name)) is not None}
    known = SeriesIndex(series, root)
    candidates: list[Candidate] = []
    rejections: list[Rejection] = []
    if "phase" not in columns and "native" not in wide.values():
        raise TrainError(
            "table_columns",
            f"{path.name} has neither a column phase nor a column native; its columns are {', '.join(names)}.",
            "Use patient, phase and path (or SeriesInstanceUID), or patient, native, arterial, venous.",
        )
    for number, row in enumerate(rows, start=2):
        cell = {key: (row.get(name) or "").strip() for key, name in columns.items()}
        if "phase" in columns:
            entries = [(cell.get("series", "") or cell.get("path", ""), _phase(cell["phase"]), cell["phase"])]
        else:
            entries = [(value, phase, name) for name, phase in wide.items() if (value := (row.get(name) or "").strip())]
        for which, phase, written in entries:
            found = known.find(which)
            if found is None:
                reason = f"row {number}: no series {which}"
                rejections.append(Rejection(place=which, phase=phase or "", code="series_missing", reason=reason))
            elif phase is None:
                reason = f"row {number}: no phase called {written}"
                rejections.append(Rejection(place=which, phase="", code="phase_unknown", reason=reason))
            else:
                candidates.append(_candidate(found, cell, phase, path.name))
    return candidates, rejections


def _candidate(found: Series, cell: Mapping[str, str], phase: Phase, table: str) -> Candidate:
    patient = cell.get("patient") or cell.get("study") or found.patient or found.parts[0]
    one = Candidate(
        series=found, patient=patient, study=cell.get("study", ""), phase=phase, said_by=table, binding=True
    )
    split, fold = place_of_fold(cell.get("fold", ""))
    return replace(one, split=_SPLITS.get(cell.get("split", "").lower()) or split, fold=fold)


def place_of_fold(written: str) -> tuple[Split | None, int | None]:
    """Split and number of what a column of folds says: a split by name, or a number, of which 0 validates and the others train."""
    if written.isascii() and written.isdigit():
        return ("train" if int(written) else "validation"), int(written)
    return _SPLITS.get(written.lower()), None


def _delimiter(text: str) -> str:
    """What parts the columns of the header: comma, semicolon (as spreadsheets write where the comma is decimal) or tab."""
    header = text.partition("\n")[0]
    return max((",", ";", "\t"), key=header.count)


class SeriesIndex:
    """Series by UID, place, file and stem."""

    def __init__(self, series: Sequence[Series], root: Path) -> None:
        self._by: dict[str, Series] = {}
        for one in series:
            for key in (
                one.uid,
                one.place,
                stem(Path(one.place).name),
                *(f.relative_to(root).as_posix() for f in one.files),
            ):
                if key:
                    self._by.setdefault(key, one)

    def find(self, which: str) -> Series | None:
        """By UID, path relative to the root, file stem, or stem without WAW-TACE's ``_scan``."""
        which = which.replace("\\", "/").removeprefix("./").rstrip("/")
        for key in (which, stem(Path(which).name) if which else "", f"{which}_scan"):
            if key and key in self._by:
                return self._by[key]
        return None


def _columns(names: Sequence[str]) -> dict[str, str]:
    plain = {"".join(c for c in name.lower() if c.isalnum()): name for name in names}
    return {key: plain[alias] for key, aliases in _COLUMNS.items() for alias in reversed(aliases) if alias in plain}


def _phase_of_column(name: str) -> Phase | None:
    return phase_in_name(name) if len(name) > 1 else None


def _phase(written: str) -> Phase | None:
    """``Non-contrast``, ``Arterial``, ``Venous`` (VinDr-Multiphase), ``0`` .. ``3`` (WAW-TACE), or any phase's name."""
    text = written.strip()
    if text in _NUMBERED:
        return _NUMBERED[text]
    guess = phase_in_words(text)
    if guess is not None and guess != "enhanced":
        return guess
    return phase_in_name(text)
