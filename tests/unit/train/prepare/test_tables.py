"""Tables and data lists against the tree that they name."""

import json
from pathlib import Path

import pytest

from tests.prepare_trees import GRID, codes_of, copy_series, paired_places, pairs_in, put, write_table
from train.errors import TrainError
from train.prepare import PrepareOptions
from train.prepare.ledger import Ledger
from train.prepare.pipeline import find_pairs

OPTIONS = PrepareOptions(registration="none", spacing_mm=GRID)


def test_a_table_that_swaps_phases_is_not_believed(phases: dict[str, Path], tmp_path: Path) -> None:
    """Native and venous exchanged for A, arterial and venous for B."""
    root = tmp_path / "in"
    for patient, given in (("A", ("native", "venous")), ("B", ("native", "arterial", "venous"))):
        for phase in given:
            copy_series(phases[phase], root / patient / phase[0], patient=patient)
    table = tmp_path / "pairs.csv"
    table.write_text("patient,native,arterial,venous\nA,A/v,,A/n\nB,B/n,B/v,B/a\n", encoding="utf-8")
    found = find_pairs(root, options=OPTIONS, table=table)
    assert found.pairings == []
    contradicted = {one.place for one in found.rejections if one.code == "phase_contradicted"}
    assert contradicted == {"A/n", "A/v", "B/a", "B/v"}


def test_one_person_under_two_ids_falls_into_one_split(phases: dict[str, Path], tmp_path: Path) -> None:
    """Two exports of three people: once as ``P-0n``, once as ``Pn`` of another study."""
    for number in (1, 2, 3):
        for patient, study in ((f"P-0{number}", "a"), (f"P0{number}", "b")):
            for phase in ("native", "venous"):
                copy_series(phases[phase], tmp_path / patient / phase, patient=patient, study=study)
    found = pairs_in(tmp_path)
    assert [(one.patient, one.person) for one in found.pairings] == [
        (patient, f"P-0{number}")
        for patient, number in (("P-01", 1), ("P-02", 2), ("P-03", 3), ("P01", 1), ("P02", 2), ("P03", 3))
    ]
    ledger = Ledger.open(tmp_path / "store")
    ledger.enrol([(one.person, one.study_key) for one in found.pairings], shares=(0.7, 0.15, 0.15), seed=0)
    names = [ledger.case_name(one.person, one.study_key) for one in found.pairings]
    assert len(set(names)) == 6
    assert len({name.split("-")[0] for name in names}) == 3


def test_a_table_that_puts_one_person_into_two_splits_is_refused(phases: dict[str, Path], tmp_path: Path) -> None:
    root = tmp_path / "in"
    for phase in ("native", "venous"):
        copy_series(phases[phase], root / phase, patient="P")
    table = write_table(tmp_path, ["one,native,venous,train", "two,native,venous,test"])
    with pytest.raises(TrainError, match=r"(one in train, two in test|two in test, one in train)") as caught:
        find_pairs(root, options=OPTIONS, table=table)
    assert caught.value.code == "split_straddled"


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_of_spreadsheets_on_windows_are_read(phases: dict[str, Path], tmp_path: Path, delimiter: str) -> None:
    """Semicolons or tabs, backslashes, Chinese and German phases, a column of folds."""
    root = tmp_path / "in"
    for phase in ("native", "venous"):
        copy_series(phases[phase], root / "A" / phase[0], patient="A")
    table = tmp_path / "pairs.csv"
    rows = (("Patient", "Path", "Phase", "Fold"), ("A", "A\\n", "平扫", "0"), ("A", ".\\A\\v", "portalvenös", "0"))
    table.write_text("\r\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")
    found = find_pairs(root, options=OPTIONS, table=table)
    assert paired_places(found) == [{"native": "A/n", "venous": "A/v"}]
    assert (found.pairings[0].split, found.pairings[0].fold) == ("validation", 0)


def test_a_monai_data_list_names_pairs_phases_and_folds(images: dict[str, Path], tmp_path: Path) -> None:
    """One item by phases, one by image and label whose phases the images tell, one that is not there."""
    root = tmp_path / "in"
    for patient in "AB":
        put(images["native"], root / "imagesTr" / f"{patient}x.nii.gz")
        put(images["venous"], root / "targetsTr" / f"{patient}y.nii.gz")
    items = [
        {"native": "imagesTr/Ax.nii.gz", "venous": "targetsTr/Ay.nii.gz", "fold": 0},
        {"image": "imagesTr/Bx.nii.gz", "label": "targetsTr/By.nii.gz", "fold": 1},
        {"image": "imagesTr/Cx.nii.gz"},
    ]
    table = tmp_path / "datalist.json"
    table.write_text(json.dumps({"training": items}), encoding="utf-8")
    found = find_pairs(root, options=OPTIONS, table=table)
    assert [(one.patient, one.split, one.fold, sorted(one.contrasts)) for one in found.pairings] == [
        ("Ax", "validation", 0, ["venous"]),
        ("Bx", "train", 1, ["venous"]),
    ]
    assert codes_of(found) == {"imagesTr/Cx.nii.gz": "series_missing"}
