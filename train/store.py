"""Pair stores: registered phases of many cases on the model grid, memory-mapped.

A store is a folder with one folder per case: ``case.json`` and arrays ``(D, H, W)``: ``native.npy`` and ``<phase>.npy`` (the change
CECT − NCCT) in float16 HU; where they exist, ``noise.npy`` (one scan's noise, with noise-free ``native`` and changes: the phantom) and
``labels.npy`` (uint8 organs, named in ``case.json``) and ``<phase>.valid.npy`` (bool: where that phase was measured; its change is 0
elsewhere). ``<phase>@<seconds>s.npy`` is the same phase at another time. ``case.json`` is written last: a case without it is incomplete
and made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from s2ldm_core.files import replace_text
from train.errors import TrainError

if TYPE_CHECKING:
    from train.config import DataConfig

_CASE = "case.json"
_AORTA_VOXELS = 64
_NAMED = 12
"""Patients that are named in an error, at most."""


Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One study of a patient; arrays are memory-mapped ``(D, H, W)``."""

    name: str
    patient: str
    split: Split
    fold: int | None
    """Of a cross-validation, where a table gave one."""
    spacing_mm: tuple[float, float, float]
    native: np.ndarray
    changes: Mapping[str, np.ndarray]
    noise: np.ndarray | None
    labels: np.ndarray | None
    organs: Mapping[str, int]
    """Organ → value in ``labels``."""
    valid: Mapping[str, np.ndarray]
    """Phase → where it was measured; a phase that was everywhere has none."""
    seconds: Mapping[str, float]
    """Phase → seconds after the start of the injection, where they are known."""
    aorta_hu: Mapping[str, float]
    """Phase → enhancement of the aorta, where its labels are known."""

    def source_hu(self) -> np.ndarray:
        """``(D, H, W)`` float32: the native scan, with its noise where that is apart."""
        hu = np.asarray(self.native, np.float32)
        return hu if self.noise is None else hu + np.asarray(self.noise, np.float32)

    def values(self, name: str) -> dict[str, float]:
        """What systems may be conditioned on of the image called ``name``; NaN where nobody knows it."""
        return {"seconds": self.seconds.get(name, np.nan), "aorta_hu": self.aorta_hu.get(name, np.nan)}

    def showing(self, phase: str) -> tuple[str, ...]:
        """Names in ``changes`` of the images of ``phase``: its own, and those at other seconds, such as ``venous@90s``."""
        return tuple(name for name in self.changes if name.split("@")[0] == phase)


class PairStore:
    """The complete cases of a store, or of one split of it, in the order of their names.

    Parameters
    ----------
    fold
        ``(number, of)``: patients of the train and validation splits are dealt out anew: by the folds that the table of `prepare` gave
        them, or without such every ``of``-th one into validation, by a hash of their names; test patients stay where they are.
    only, without
        Patients: no others, or all but these; ``patient_unknown`` where the store has no case of one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: Split | None = None,
        fold: tuple[int, int] | None = None,
        only: Collection[str] = (),
        without: Collection[str] = (),
    ) -> None:
        self.folder = folder
        cases = [_open(path.parent) for path in sorted(folder.glob(f"*/{_CASE}"))]
        if not cases:
            raise TrainError(
                "store_empty",
                f"There is no training case in {folder}.",
                "Make some: s2ldm-train prepare STUDIES, or s2ldm-train phantom OUTPUT --count 96.",
            )
        if fold is not None:
            cases = _dealt(cases, *fold)
        if only or without:
            _refuse_unknown({*only, *without}, cases, folder)
            cases = [case for case in cases if case.patient not in without and (not only or case.patient in only)]
        self._cases = [case for case in cases if split is None or case.split == split]
        self.names = [case.name for case in self._cases]
        if not self._cases and (only or without):
            raise TrainError(
                "split_empty",
                f"No case in {folder} of the patients asked for belongs to the {split} split.",
                "Leave out fewer patients, or name some of that split.",
            )
        if not self._cases:
            raise TrainError(
                "split_empty", f"No case in {folder} belongs to the {split} split.", "Prepare it with a larger share."
            )

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> Case:
        return self._cases[index]

    def digest(self) -> str:
        """SHA-256 over what every case's ``case.json`` says, its arrays' checksums among it: which data a run has seen."""
        total = hashlib.sha256()
        for case in self._cases:
            total.update(case.name.encode() + b"\0" + self._record(case) + b"\0")
        return total.hexdigest()

    def digest_of(self, case: Case) -> str:
        """SHA-256 over what the ``case.json`` of one of the cases says."""
        return hashlib.sha256(self._record(case)).hexdigest()

    def _record(self, case: Case) -> bytes:
        return (self.folder / case.name / _CASE).read_bytes()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """The spacing all cases share.

        Raises
        ------
        TrainError
            ``store_mixed`` when they do not.
        """
        spacings = {case.spacing_mm for case in self._cases}
        if len(spacings) > 1:
            raise TrainError("store_mixed", f"The cases of {self.folder} have different spacings: {sorted(spacings)}.")
        return spacings.pop()


def pairs_of(data: DataConfig, split: Split) -> PairStore:
    """The cases of ``split`` that a configuration draws from; errors as `PairStore`."""
    return PairStore(data.store, split=split, fold=data.folded, without=data.leave_out)


def _refuse_unknown(patients: Collection[str], cases: list[Case], folder: Path) -> None:
    known = {case.patient for case in cases}
    if unknown := sorted(set(patients) - known):
        few = sorted(known)[:_NAMED]
        raise TrainError(
            "patient_unknown",
            f"{folder} has no case of {', '.join(unknown)}; it has {', '.join(few)}{', …' if len(known) > _NAMED else ''}.",
            "Name patients as their case.json do.",
        )


def _dealt(cases: list[Case], number: int, of: int) -> list[Case]:
    """The cases with the split that a fold gives them; ``folds_differ`` when a table's folds are not ``of``."""
    told = {case.patient: case.fold for case in cases if case.split != "test"}
    folds = sorted({fold for fold in told.values() if fold is not None})
    if not folds:
        order = sorted(told, key=lambda name: hashlib.sha256(name.encode()).digest())
        validating = set(order[number::of])
    elif None in told.values() or len(folds) != of:
        without = sum(fold is None for fold in told.values())
        raise TrainError(
            "folds_differ",
            f"The store's table put its patients into {len(folds)} folds{f' and {without} into none' if without else ''}; "
            f"the run asks for {of}.",
            "Set data.fold.of to the number of folds of the table, and give every patient of the table one.",
        )
    else:
        validating = {patient for patient, fold in told.items() if fold == folds[number]}
    return [
        case if case.split == "test" else replace(case, split="validation" if case.patient in validating else "train")
        for case in cases
    ]


def has_case(folder: Path, name: str) -> bool:
    return (folder / name / _CASE).is_file()


def place_case(folder: Path, name: str, *, split: Split, fold: int | None) -> None:
    """Move a case to another split and fold; nothing is written where it is there already."""
    path = folder / name / _CASE
    record = json.loads(path.read_text(encoding="utf-8"))
    placed = {key: value for key, value in record.items() if key != "fold"} | {"split": split} | _fold_entry(fold)
    if placed != record:
        replace_text(path, json.dumps(placed, indent=1))


def write_case(
    folder: Path,
    name: str,
    *,
    spacing_mm: tuple[float, float, float],
    native: np.ndarray,
    changes: Mapping[str, np.ndarray],
    noise: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    organs: Mapping[str, int] | None = None,
    valid: Mapping[str, np.ndarray] | None = None,
    seconds: Mapping[str, float] | None = None,
    patient: str | None = None,
    split: Split = "train",
    fold: int | None = None,
    about: Mapping[str, object],
) -> None:
    """Write one case; complete only once its ``case.json`` is there. ``patient=None``: the case is its own patient."""
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    arrays = {"native": native, **({} if noise is None else {"noise": noise}), **changes}
    stored = {key: np.ascontiguousarray(array, dtype=np.float16) for key, array in arrays.items()}
    if labels is not None:
        stored["labels"] = np.ascontiguousarray(labels, dtype=np.uint8)
    stored |= {f"{phase}.valid": np.ascontiguousarray(array, dtype=bool) for phase, array in (valid or {}).items()}
    for key, array in stored.items():
        np.save(target / f"{key}.npy", array)
    record = {
        "spacing_mm": list(spacing_mm),
        "phases": sorted(changes),
        "patient": patient or name,
        "split": split,
        **_fold_entry(fold),
        "organs": dict(organs or {}),
        **({"seconds": dict(seconds)} if seconds else {}),
        **({"aorta_hu": aorta} if (aorta := _aorta_hu(stored, changes, organs or {})) else {}),
        "sha256": {key: hashlib.sha256(array.data).hexdigest() for key, array in stored.items()},
        "about": dict(about),
    }
    replace_text(target / _CASE, json.dumps(record, indent=1))


def _fold_entry(fold: int | None) -> dict[str, int]:
    return {} if fold is None else {"fold": fold}


def _aorta_hu(stored: Mapping[str, np.ndarray], names: Iterable[str], organs: Mapping[str, int]) -> dict[str, float]:
    """Median change inside the aorta of each image, where enough of it was labelled and measured."""
    if "labels" not in stored or "aorta" not in organs:
        return {}
    aorta = stored["labels"] == organs["aorta"]
    found = {}
    for name in names:
        measured = aorta & stored[f"{name}.valid"] if f"{name}.valid" in stored else aorta
        if measured.sum() >= _AORTA_VOXELS:
            found[name] = round(float(np.median(stored[name][measured].astype(np.float32))), 1)
    return found


def _open(folder: Path) -> Case:
    record = json.loads((folder / _CASE).read_text(encoding="utf-8"))

    def array(key: str) -> np.ndarray:
        return np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False)

    def optional(key: str) -> np.ndarray | None:
        return array(key) if (folder / f"{key}.npy").is_file() else None

    valid = {phase: optional(f"{phase}.valid") for phase in record["phases"]}
    dz, dy, dx = record["spacing_mm"]
    return Case(
        name=folder.name,
        patient=record.get("patient", folder.name),
        split=record.get("split", "train"),
        fold=record.get("fold"),
        spacing_mm=(float(dz), float(dy), float(dx)),
        native=array("native"),
        changes={phase: array(phase) for phase in record["phases"]},
        noise=optional("noise"),
        labels=optional("labels"),
        organs=record.get("organs", {}),
        valid={phase: where for phase, where in valid.items() if where is not None},
        seconds=record.get("seconds", {}),
        aorta_hu=record.get("aorta_hu", {}),
    )
