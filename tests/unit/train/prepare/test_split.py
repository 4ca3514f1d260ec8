"""Pseudonyms and splits: by patient, from a fixed seed, for good."""

from pathlib import Path

import pytest

from train.errors import TrainError
from train.prepare.ledger import Ledger, assign, by_hash

SHARES = (0.7, 0.15, 0.15)


def _splits(folder: Path) -> dict[str, str]:
    return {key: entry.split for key, entry in Ledger.open(folder).patients.items()}


def _enrol(folder: Path, patients: list[str], **options: object) -> None:
    Ledger.open(folder).enrol([(patient, "") for patient in patients], shares=SHARES, seed=0, **options)


def test_shares_come_as_near_as_whole_patients_allow() -> None:
    patients = by_hash([f"patient {n}" for n in range(100)], seed=0)
    splits = list(assign(patients, shares=SHARES, held={}).values())
    assert [splits.count(name) for name in ("train", "validation", "test")] == [70, 15, 15]


def test_the_paper_split_of_four_to_one_has_no_test_patients() -> None:
    splits = list(assign([str(n) for n in range(164)], shares=(0.8, 0.2, 0.0), held={}).values())
    assert [splits.count(name) for name in ("train", "validation", "test")] == [131, 33, 0]


def test_three_patients_fill_all_three_splits() -> None:
    assert set(assign(["a", "b", "c"], shares=SHARES, held={}).values()) == {"train", "validation", "test"}


def test_the_same_seed_gives_the_same_split_and_another_seed_another(tmp_path: Path) -> None:
    patients = [f"patient {n}" for n in range(40)]
    _enrol(tmp_path / "one", patients)
    _enrol(tmp_path / "two", list(reversed(patients)))
    assert _splits(tmp_path / "one") == _splits(tmp_path / "two")
    Ledger.open(tmp_path / "three").enrol([(p, "") for p in patients], shares=SHARES, seed=1)
    assert _splits(tmp_path / "three") != _splits(tmp_path / "one")


def test_patients_who_join_later_move_nobody(tmp_path: Path) -> None:
    _enrol(tmp_path, [f"patient {n}" for n in range(20)])
    before = _splits(tmp_path)
    _enrol(tmp_path, [f"patient {n}" for n in range(60)])
    after = _splits(tmp_path)
    assert {key: after[key] for key in before} == before
    assert len(after) == 60


def test_all_studies_of_a_patient_share_pseudonym_and_split(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    ledger.enrol([("Doe", "1.2.3"), ("Doe", "1.2.4")], shares=SHARES, seed=0)
    assert {ledger.case_name("Doe", "1.2.3"), ledger.case_name("Doe", "1.2.4")} == {"p0001-1", "p0001-2"}


def test_a_split_written_in_a_table_is_kept(tmp_path: Path) -> None:
    _enrol(tmp_path, ["a", "b", "c", "d"], fixed={"a": "test", "b": "test"})
    assert [_splits(tmp_path)[key] for key in ("a", "b")] == ["test", "test"]


def test_only_the_owner_reads_the_ledger(tmp_path: Path) -> None:
    _enrol(tmp_path, ["a"])
    assert (tmp_path / "ledger.json").stat().st_mode & 0o077 == 0


def test_a_damaged_ledger_is_an_error_not_a_new_split(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text("{", encoding="utf-8")
    with pytest.raises(TrainError) as caught:
        Ledger.open(tmp_path)
    assert caught.value.code == "ledger_unreadable"
