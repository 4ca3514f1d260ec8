"""Which patient has which pseudonym and split.

The ledger is private: it alone links the names of a store to folders and Patient IDs. It is written before the first
case and only ever grows, so that a patient keeps name and split when others join or a run is killed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from s2ldm_core.files import replace_text
from train.errors import TrainError
from train.store import Split

FILE: Final = "ledger.json"
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")


@dataclass
class Entry:
    """One patient: pseudonym, split, the number of each study, and whether the split holds for good."""

    name: str
    split: Split
    studies: dict[str, int] = field(default_factory=dict)
    settled: bool = False


@dataclass
class Ledger:
    """Patients by the key their layout gives them."""

    path: Path
    patients: dict[str, Entry]

    @classmethod
    def open(cls, folder: Path) -> Ledger:
        """Read the ledger of a store; an empty one where there is none.

        Raises
        ------
        TrainError
            ``ledger_unreadable`` when it is damaged.
        """
        path = folder / FILE
        if not path.is_file():
            return cls(path=path, patients={})
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            return cls(path=path, patients={key: Entry(**{"settled": True, **entry}) for key, entry in held.items()})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise TrainError(
                "ledger_unreadable",
                f"{path} cannot be read.",
                "Restore it from a backup, or prepare into a new folder: without it patients would change names and splits.",
            ) from error

    def enrol(
        self,
        studies: Iterable[tuple[str, str]],
        *,
        shares: tuple[float, float, float],
        seed: int,
        fixed: Mapping[str, Split] | None = None,
        keep_names: bool = False,
    ) -> None:
        """Give every new patient a name and a split, every new study a number, and write the ledger.

        Parameters
        ----------
        studies
            ``(patient, study)`` keys.
        fixed
            Patients whose split a table names.
        keep_names
            Use the patients' keys as names: for phantoms, which are no patients.
        """
        wanted = sorted(set(studies))
        new = by_hash({patient for patient, _ in wanted} - set(self.patients), seed=seed)
        held = {key: entry.split for key, entry in self.patients.items()}
        splits = assign(new, shares=shares, held={**held, **{key: s for key, s in (fixed or {}).items() if key in new}})
        for patient in new:
            name = patient if keep_names else f"p{len(self.patients) + 1:04d}"
            self.patients[patient] = Entry(name=name, split=splits[patient])
        for patient, study in wanted:
            numbers = self.patients[patient].studies
            numbers.setdefault(study, len(numbers) + 1)
        self._write()

    def settle(
        self,
        accepted: Iterable[str],
        *,
        shares: tuple[float, float, float],
        seed: int,
        fixed: Mapping[str, Split] | None = None,
    ) -> None:
        """Split the patients who have a case, for good; those without one hold no place until they have.

        Parameters
        ----------
        accepted
            Keys of all patients with a case.
        fixed
            Patients whose split a table names; it holds against what was settled before.
        """
        wanted = set(accepted)
        told = {key: split for key, split in (fixed or {}).items() if key in wanted}
        held = {key: self.patients[key].split for key in sorted(wanted) if self.patients[key].settled} | told
        new = by_hash(wanted - set(held), seed=seed)
        for key, split in {**held, **assign(new, shares=shares, held=held)}.items():
            self.patients[key].split, self.patients[key].settled = split, True
        self._write()

    def case_name(self, patient: str, study: str) -> str:
        """Pseudonym of one study's case: the patient's, with the study's number unless a layout keeps names."""
        entry = self.patients[patient]
        number = entry.studies[study]
        return entry.name if entry.name == patient and number == 1 else f"{entry.name}-{number}"

    def _write(self) -> None:
        record = {key: vars(entry) for key, entry in self.patients.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self.path, json.dumps(record, indent=1), mode=0o600)


def by_hash(patients: Iterable[str], *, seed: int) -> list[str]:
    """Patients in an order that depends on the seed and each key alone, not on names or on who else is there."""
    return sorted(patients, key=lambda key: hashlib.sha256(f"{seed}\0{key}".encode()).digest())


def assign(
    patients: Sequence[str], *, shares: tuple[float, float, float], held: Mapping[str, Split]
) -> dict[str, Split]:
    """Split patients in the given order so that the whole comes as near to ``shares`` as whole patients allow.

    A split with a share gets at least one patient as soon as there are enough. Patients in ``held`` count and keep theirs.
    """
    everyone = list(dict.fromkeys([*held, *patients]))
    counts = {split: sum(1 for one in held.values() if one == split) for split in SPLITS}
    targets = _targets(len(everyone), shares)
    result: dict[str, Split] = {key: held[key] for key in patients if key in held}
    for key in patients:
        if key in held:
            continue
        split = max(SPLITS, key=lambda one: (targets[one] - counts[one], shares[SPLITS.index(one)]))
        counts[split] += 1
        result[key] = split
    return result


def _targets(count: int, shares: tuple[float, float, float]) -> dict[Split, int]:
    """Whole numbers that add up to ``count``, by largest remainder, at least one for every share where that can be."""
    exact = [count * share for share in shares]
    whole = [int(value + 1e-9) for value in exact]
    order = sorted(range(3), key=lambda index: (whole[index] - exact[index], index))
    for index in order[: count - sum(whole)]:
        whole[index] += 1
    needed = [index for index in range(3) if shares[index] > 0]
    if count >= len(needed):
        for index in needed:
            if whole[index] == 0:
                whole[max(range(3), key=lambda one: whole[one])] -= 1
                whole[index] += 1
    return dict(zip(SPLITS, whole, strict=True))
