"""A tree with one wrong thing each gives a store of right pairs only, and a store follows its studies and table."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tests.prepare_trees import GRID, copy_series, put, write_table
from train.commands.prepare import prepare as command
from train.errors import TrainError
from train.prepare import PrepareOptions, prepare
from train.prepare.ledger import Ledger
from train.store import PairStore

OPTIONS = PrepareOptions(registration="none", spacing_mm=GRID)


@pytest.fixture(scope="module")
def everything(phases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Right pairs of A, B and C, and in D to J one wrong thing each."""
    root = tmp_path_factory.mktemp("everything")

    def put(phase: str, patient: str, name: str, **options: object) -> list[Path]:
        return copy_series(phases[phase], root / patient / name, patient=patient, **options)

    put("native", "A", "1", SeriesDescription="Abdomen o. KM")
    put("venous", "A", "2", SeriesDescription="Abdomen portalvenös")
    put("arterial", "A", "3", SeriesDescription="früharteriell")
    put("delayed", "A", "4", SeriesDescription="Spätphase")
    put("native", "A", "native sub", ImageType=["DERIVED", "SECONDARY", "SUBTRACTION"])
    put("native", "B", "1", SeriesInstanceUID="1.2.3.5", AcquisitionNumber=3)
    put("venous", "B", "1", SeriesInstanceUID="1.2.3.5", AcquisitionNumber=5)
    put("native", "C", "1", Modality=None)
    put("venous", "C", "2", Modality=None)
    put("native", "D", "1")
    put("venous", "D", "2", flip=True)
    put("native", "E", "1")
    put("native", "E", "2", SeriesDescription="ABD ARTERIAL", ContrastBolusAgent="APPLIED")
    put("native", "F", "1")[6].write_bytes(b"")
    put("venous", "F", "2")
    put("native", "G", "1", study="2019")
    put("venous", "G", "2", study="2020")
    put("native", "H", "1")
    put("venous", "H", "2", RescaleSlope=None)
    put("venous", "I", "1")
    put("native", "J", "1")
    cut = put("venous", "J", "2")[5]
    cut.write_bytes(cut.read_bytes()[:-5000])
    return root


@pytest.fixture(scope="module")
def store(everything: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("store")
    prepare(everything, output, options=OPTIONS)
    return output


def _rejected(store: Path) -> dict[str, tuple[str, str]]:
    """Place → codes and reasons, of which a folder may have two."""
    found: dict[str, tuple[str, str]] = {}
    with (store / "rejected.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            codes, reasons = found.get(row["place"], ("", ""))
            found[row["place"]] = f"{codes} {row['code']}".strip(), f"{reasons} {row['reason']}".strip()
    return found


def test_a_tree_of_everything_gives_a_store_of_right_pairs_only(store: Path) -> None:
    ledger = {entry["name"]: patient for patient, entry in json.loads((store / "ledger.json").read_text()).items()}
    assert {ledger[case.patient]: sorted(case.changes) for case in PairStore(store)} == {
        "A": ["arterial", "venous"],
        "B": ["venous"],
        "C": ["venous"],
    }


def test_every_series_that_is_in_no_case_is_told_with_its_reason(store: Path) -> None:
    assert {place: code for place, (code, _) in _rejected(store).items()} == {
        "A/4": "phase_not_asked",
        "A/native sub": "derived_image",
        "D/1": "no_pair_left",
        "D/2": "misaligned_edges",
        "E/1": "no_contrast",
        "E/2": "no_contrast",
        "F/1": "file_unreadable not_a_volume",
        "F/2": "no_native",
        "G/1": "no_contrast",
        "G/2": "no_native",
        "H/1": "no_contrast",
        "H/2": "not_hu",
        "I/1": "no_native",
        "J/1": "no_contrast",
        "J/2": "pixels_unreadable",
    }
    assert "0007.dcm" in _rejected(store)["F/1"][1]
    assert "mirrored" in _rejected(store)["D/2"][1]


def test_only_patients_with_a_case_hold_a_place_in_a_split(store: Path) -> None:
    """Three of seven paired patients have one: all three splits are filled."""
    assert {case.split for case in PairStore(store)} == {"train", "validation", "test"}


def test_one_accepted_patient_is_for_training(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    people = [f"patient {number}" for number in range(12)]
    ledger.enrol([(one, "") for one in people], shares=(0.7, 0.15, 0.15), seed=0)
    ledger.settle(["patient 7"], shares=(0.7, 0.15, 0.15), seed=0)
    assert Ledger.open(tmp_path).patients["patient 7"].split == "train"


def test_a_corrected_table_is_followed_and_who_is_taken_out_is_gone(phases: dict[str, Path], tmp_path: Path) -> None:
    root, output = tmp_path / "in", tmp_path / "out"
    for patient in "ABC":
        for phase in ("native", "venous"):
            copy_series(phases[phase], root / patient / phase, patient=patient)
    copy_series(phases["venous"], root / "A" / "second", patient="A", SliceThickness="5.0")
    rows = [f"{one},{one}/native,{one}/venous,train" for one in "ABC"]
    prepare(root, output, options=OPTIONS, table=write_table(tmp_path, rows))
    before = {case.name: (output / case.name / "case.json").read_text() for case in PairStore(output)}
    rows = ["A,A/native,A/second,train", "B,B/native,B/venous,test"]
    result = prepare(root, output, options=OPTIONS, table=write_table(tmp_path, rows))
    held = {entry["name"]: patient for patient, entry in json.loads((output / "ledger.json").read_text()).items()}
    after = {held[case.patient]: case for case in PairStore(output)}
    assert {patient: case.split for patient, case in after.items()} == {"A": "train", "B": "test"}
    old = json.loads(before[after["A"].name])["about"]["sources"]["venous"]
    assert json.loads((output / after["A"].name / "case.json").read_text())["about"]["sources"]["venous"] != old
    assert [one.code for one in result.rejections if one.code == "withdrawn"] == ["withdrawn"]
    assert len(list((output / "pictures").iterdir())) == 2


def test_a_full_disk_ends_in_a_sentence_and_the_next_run_goes_on(
    phases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up while the arrays of the case are written."""
    root, output = tmp_path / "in", tmp_path / "out"
    for phase in ("native", "venous"):
        copy_series(phases[phase], root / phase, patient="P")
    save: Callable[..., None] = np.save

    def full(path: Path, array: np.ndarray) -> None:
        save(path, array[:1])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(TrainError, match="is full") as caught:
        prepare(root, output, options=OPTIONS)
    assert caught.value.code == "store_unwritable"
    monkeypatch.undo()
    assert prepare(root, output, options=OPTIONS).made == 1
    assert len(PairStore(output)) == 1


def test_studies_of_which_most_are_missing_empty_no_store(store: Path, everything: Path, tmp_path: Path) -> None:
    """A share that is not mounted must not take a store's cases away."""
    only = tmp_path / "in" / "A"
    for file in sorted((everything / "A").rglob("*.dcm")):
        put(file, only / file.relative_to(everything / "A"))
    with pytest.raises(TrainError) as caught:
        prepare(tmp_path / "in", store, options=OPTIONS)
    assert caught.value.code == "store_shrinks"
    assert len(PairStore(store)) == 3


def test_a_dry_run_tells_every_series_its_phase_why_and_what_becomes_of_it(everything: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [str(everything), str(tmp_path / "out"), "--dry-run", "--spacing", "6", "4", "4"])
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "dry-run" / "series.csv").open(encoding="utf-8") as file:
        rows = {row["series"]: row for row in csv.DictReader(file)}
    assert (rows["A/2"]["phase"], rows["A/2"]["why"], rows["A/2"]["outcome"]) == (
        "venous",
        "Series Description",
        "paired",
    )
    assert rows["B/1 (acquisition 5)"]["outcome"] == "paired"
    assert rows["H/2"]["outcome"] == "not_hu"
    assert {path.name for path in (tmp_path / "out").rglob("*.*")} == {"series.csv", "sheet-001.png"}
    assert not (tmp_path / "out" / "ledger.json").exists()
