"""Small trees as hospitals and public archives have them: only right pairs come out, everything else with its reason."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from pydicom import dcmread
from typer.testing import CliRunner

from s2ldm_core.io import read_volume, write_volume
from tests.prepare_trees import copy_series, small_phantom, write_phase
from train.commands.prepare import prepare as command
from train.errors import TrainError
from train.prepare import PrepareOptions, prepare
from train.prepare.ledger import Ledger
from train.prepare.pipeline import Found, find_pairs
from train.prepare.search import find_series
from train.store import PairStore

GRID = (6.0, 4.0, 4.0)
OPTIONS = PrepareOptions(registration="none", spacing_mm=GRID)


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One DICOM series per phase, of one phantom, that name no phase but by their folder."""
    folder, phantom = tmp_path_factory.mktemp("phases"), small_phantom()
    mute = {"SeriesDescription": "ABD", "StudyDescription": "", "ProtocolName": "", "ContrastBolusAgent": None}
    for phase in ("native", "arterial", "venous", "delayed"):
        write_phase(phantom, folder / phase, phase, **mute)
    return {phase: folder / phase for phase in ("native", "arterial", "venous", "delayed")}


def _pairs(root: Path, **options: object) -> Found:
    return find_pairs(root, options=PrepareOptions(spacing_mm=GRID, **options))


def _places(found: Found) -> list[dict[str, str]]:
    return [
        {"native": one.native.series.name} | {str(phase): it.series.name for phase, it in one.contrasts.items()}
        for one in found.pairings
    ]


def _codes(found: Found) -> dict[str, str]:
    return {one.place: one.code for one in found.rejections}


@pytest.fixture(scope="module")
def images(phases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    for phase, series in phases.items():
        write_volume(read_volume(series), folder / f"{phase}.nii.gz")
    return {phase: folder / f"{phase}.nii.gz" for phase in phases}


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


@pytest.mark.parametrize("channels", [{"0": "native", "1": "late arterial"}, None])
def test_nnunet_channels_are_the_phases_of_each_case(
    images: dict[str, Path], tmp_path: Path, channels: dict[str, str] | None
) -> None:
    """By ``dataset.json``, and where it names no phase by the images."""
    for case in ("LIVER_001", "LIVER_002"):
        _put(images["native"], tmp_path / "imagesTr" / f"{case}_0000.nii.gz")
        _put(images["arterial"], tmp_path / "imagesTr" / f"{case}_0001.nii.gz")
        _put(images["native"], tmp_path / "labelsTr" / f"{case}.nii.gz")
    names = channels or {"0": "CT", "1": "CT"}
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": names}), encoding="utf-8")
    found = _pairs(tmp_path)
    assert found.layout == "nnunet"
    assert [one.patient for one in found.pairings] == ["LIVER_001", "LIVER_002"]
    assert _places(found)[1] == {
        "native": "imagesTr/LIVER_002_0000.nii.gz",
        "arterial": "imagesTr/LIVER_002_0001.nii.gz",
    }


@pytest.mark.parametrize(("one", "other"), [("imagesTr", "targetsTr"), ("trainA", "trainB")])
def test_one_file_name_in_two_folders_is_one_case(
    images: dict[str, Path], tmp_path: Path, one: str, other: str
) -> None:
    for case in ("p7", "p8"):
        _put(images["native"], tmp_path / one / f"{case}.nii.gz")
        _put(images["venous"], tmp_path / other / f"{case}.nii.gz")
    found = _pairs(tmp_path)
    assert found.layout == "files"
    assert _places(found) == [
        {"native": f"{one}/{case}.nii.gz", "venous": f"{other}/{case}.nii.gz"} for case in ("p7", "p8")
    ]


def test_sessions_of_a_bids_tree_are_studies_of_their_own(images: dict[str, Path], tmp_path: Path) -> None:
    """Native of one year, venous of the next: no pair."""
    _put(images["native"], tmp_path / "sub-01/ses-2019/ct/sub-01_ses-2019_ce-none_ct.nii.gz")
    _put(images["venous"], tmp_path / "sub-01/ses-2020/ct/sub-01_ses-2020_ce-portal_ct.nii.gz")
    _put(images["native"], tmp_path / "sub-02/ses-1/ct/sub-02_ses-1_ce-none_ct.nii.gz")
    _put(images["venous"], tmp_path / "sub-02/ses-1/ct/sub-02_ses-1_ce-portal_ct.nii.gz")
    found = _pairs(tmp_path)
    assert found.layout == "bids"
    assert [(one.patient, one.study) for one in found.pairings] == [("sub-02", "ses-1")]
    assert set(_codes(found).values()) == {"no_contrast", "no_native"}


def test_days_in_file_names_keep_studies_apart(images: dict[str, Path], tmp_path: Path) -> None:
    _put(images["native"], tmp_path / "P1" / "20190301_native.nii.gz")
    _put(images["venous"], tmp_path / "P1" / "2020-03-01_venous.nii.gz")
    assert _pairs(tmp_path).pairings == []


def test_headers_a_year_apart_are_no_pair(phases: dict[str, Path], tmp_path: Path) -> None:
    copy_series(
        phases["native"], tmp_path / "P" / "native", patient="P", StudyDate="20190301", AcquisitionDate="20190301"
    )
    copy_series(
        phases["venous"], tmp_path / "P" / "venous", patient="P", StudyDate="20200301", AcquisitionDate="20200301"
    )
    found = _pairs(tmp_path)
    assert found.pairings == []
    assert _codes(found)["P/venous"] == "days_apart"


def test_cases_counted_by_letters_are_patients_not_phases(phases: dict[str, Path], tmp_path: Path) -> None:
    for letter in "AND":
        for number, phase in enumerate(("native", "venous")):
            copy_series(phases[phase], tmp_path / f"CASE_{letter}" / f"S{number}", patient=f"ID{letter}")
    copy_series(phases["native"], tmp_path / "CASE_V", patient="IDV")
    found = _pairs(tmp_path)
    assert found.layout == "folders"
    assert [one.patient for one in found.pairings] == ["IDA", "IDD", "IDN"]


@pytest.mark.parametrize(
    ("image_type", "description", "kind"),
    [
        (["DERIVED", "SECONDARY", "SUBTRACTION"], "ABD", "subtraction"),
        (["DERIVED", "SECONDARY", "AXIAL", "MONOENERGETIC"], "ABD", "mono"),
        (["DERIVED", "PRIMARY", "MIP"], "ABD", "mip"),
        (["DERIVED", "SECONDARY", "AXIAL"], "Iodine map", "iodine"),
        (["ORIGINAL", "PRIMARY", "AXIAL"], "VNC liver", "vnc"),
    ],
)
def test_computed_images_are_taken_only_when_asked_for_and_named(
    phases: dict[str, Path], tmp_path: Path, image_type: list[str], description: str, kind: str
) -> None:
    """Although the folder says that it is the native series."""
    copy_series(
        phases["native"], tmp_path / "P" / "native", patient="P", ImageType=image_type, SeriesDescription=description
    )
    copy_series(phases["venous"], tmp_path / "P" / "venous", patient="P")
    found = _pairs(tmp_path)
    assert _codes(found)["P/native"] == "derived_image"
    assert len(_pairs(tmp_path, derived=(kind,)).pairings) == 1


def test_an_original_is_chosen_before_a_derived_series(phases: dict[str, Path], tmp_path: Path) -> None:
    reformat = ["DERIVED", "SECONDARY", "REFORMATTED"]
    copy_series(phases["native"], tmp_path / "P" / "native A", patient="P", ImageType=reformat)
    copy_series(phases["native"], tmp_path / "P" / "native B", patient="P")
    copy_series(phases["venous"], tmp_path / "P" / "venous", patient="P")
    found = _pairs(tmp_path)
    assert _places(found)[0]["native"] == "P/native B"
    (why,) = [one.reason for one in found.rejections if one.code == "not_chosen"]
    assert why == "P/native B fits better: an original image, this one a derived image"


def test_a_soft_kernel_is_worth_more_than_a_slice_of_coverage(phases: dict[str, Path], tmp_path: Path) -> None:
    copy_series(phases["native"], tmp_path / "P" / "native", patient="P", ConvolutionKernel="B30f")
    soft = copy_series(phases["venous"], tmp_path / "P" / "venous soft", patient="P", ConvolutionKernel="B30f")
    copy_series(phases["venous"], tmp_path / "P" / "venous lung", patient="P", ConvolutionKernel="B70f")
    soft[-1].unlink()
    found = _pairs(tmp_path)
    assert _places(found)[0]["venous"] == "P/venous soft"
    (why,) = [one.reason for one in found.rejections if one.code == "not_chosen"]
    assert "sharp kernel (B70f)" in why


def test_an_enhanced_scan_in_the_noise_of_a_lung_kernel_is_not_the_native_one(
    phases: dict[str, Path], tmp_path: Path
) -> None:
    """Nothing in it is even, and no tag says which phase it is: it is left out, not taken for native."""
    copy_series(phases["arterial"], tmp_path / "S1", patient="P")
    copy_series(phases["arterial"], tmp_path / "S2", patient="P", noise_hu=120.0, ConvolutionKernel="B70f")
    found = _pairs(tmp_path)
    assert {one.series.name: verdict.phase for one, verdict in found.judged} == {"S1": "arterial", "S2": None}
    assert found.pairings == []


def test_a_silent_delayed_series_is_told_by_its_time(phases: dict[str, Path], tmp_path: Path) -> None:
    times = {"native": "100000", "arterial": "100400", "venous": "100440", "delayed": "100700"}
    for phase, time in times.items():
        copy_series(phases[phase], tmp_path / f"S{time}", patient="P", AcquisitionTime=time)
    found = _pairs(tmp_path, phases=("arterial", "venous", "delayed"))
    assert _places(found) == [{"native": "S100000"} | {p: f"S{t}" for p, t in times.items() if p != "native"}]


@pytest.mark.parametrize("in_folder", [True, False])
def test_two_phases_in_one_series_are_told_apart_by_acquisition_number(
    phases: dict[str, Path], tmp_path: Path, in_folder: bool
) -> None:
    """On the same positions, and on positions between each other's that look like one series of half the slice distance."""
    shared = {"patient": "P", "SeriesInstanceUID": "1.2.3.4"}
    copy_series(phases["native"], tmp_path / "S1", **shared, AcquisitionNumber=3)
    files = copy_series(
        phases["venous"],
        tmp_path / ("S1" if in_folder else "S2"),
        **shared,
        AcquisitionNumber=5,
        AcquisitionTime="101500",
    )
    for file in () if in_folder else files:
        dataset = dcmread(file)
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, z + 3.0]
        dataset.save_as(file)
    found = _pairs(tmp_path)
    (pairing,) = found.pairings
    assert (pairing.native.series.acquisition, pairing.contrasts["venous"].series.acquisition) == ("3", "5")
    assert pairing.contrasts["venous"].series.facts["AcquisitionTime"] == "101500"
    assert pairing.native.series.key != pairing.contrasts["venous"].series.key


def test_chest_and_abdomen_of_one_scan_stay_one_series(phases: dict[str, Path], tmp_path: Path) -> None:
    """One stack, the upper half of it with another Acquisition Number."""
    for number in (1, 2):
        files = copy_series(phases["native"], tmp_path / "S1", patient="P", AcquisitionNumber=number)
        for file in files if number == 2 else ():
            dataset = dcmread(file)
            x, y, z = (float(value) for value in dataset.ImagePositionPatient)
            dataset.ImagePositionPatient = [x, y, z + 12 * GRID[0]]
            dataset.save_as(file)
    (series,) = find_series(tmp_path)
    assert (series.acquisition, len(series.files), series.fault) == ("", 24, "")


def test_a_series_without_modality_is_known_by_its_sop_class(phases: dict[str, Path], tmp_path: Path) -> None:
    copy_series(phases["native"], tmp_path / "S1", patient="P", Modality=None)
    copy_series(phases["venous"], tmp_path / "S2", patient="P", Modality="")
    assert _places(_pairs(tmp_path)) == [{"native": "S1", "venous": "S2"}]


def test_values_without_a_rescale_are_refused_and_another_series_takes_their_place(
    phases: dict[str, Path], tmp_path: Path
) -> None:
    copy_series(phases["native"], tmp_path / "P" / "native A", patient="P", RescaleSlope=None, RescaleIntercept=None)
    copy_series(phases["native"], tmp_path / "P" / "native B", patient="P")
    copy_series(phases["venous"], tmp_path / "P" / "venous", patient="P")
    found = _pairs(tmp_path)
    assert _codes(found)["P/native A"] == "not_hu"
    assert _places(found)[0]["native"] == "P/native B"


@pytest.mark.real_data
@pytest.mark.parametrize("patient", ["hcc_005_36548", "hcc_007_67834"])
def test_a_stomach_full_of_oral_contrast_is_no_arterial_phase(real_data: Path, tmp_path: Path, patient: str) -> None:
    """Both real native scans have it; names say nothing here."""
    for number, phase in enumerate(("native", "arterial", "venous")):
        _put(real_data / "pairs3d" / patient / f"{phase}.nii.gz", tmp_path / "P" / f"img{number}x.nii.gz")
    verdicts = [verdict.phase for _, verdict in _pairs(tmp_path, layout="folders").judged]
    assert verdicts == ["native", "arterial", "venous"]


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


def _table(tmp_path: Path, rows: list[str]) -> Path:
    table = tmp_path / "pairs.csv"
    table.write_text("patient,native,venous,split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return table


def test_a_corrected_table_is_followed_and_who_is_taken_out_is_gone(phases: dict[str, Path], tmp_path: Path) -> None:
    root, output = tmp_path / "in", tmp_path / "out"
    for patient in "ABC":
        for phase in ("native", "venous"):
            copy_series(phases[phase], root / patient / phase, patient=patient)
    copy_series(phases["venous"], root / "A" / "second", patient="A", SliceThickness="5.0")
    rows = [f"{one},{one}/native,{one}/venous,train" for one in "ABC"]
    prepare(root, output, options=OPTIONS, table=_table(tmp_path, rows))
    before = {case.name: (output / case.name / "case.json").read_text() for case in PairStore(output)}
    rows = ["A,A/native,A/second,train", "B,B/native,B/venous,test"]
    result = prepare(root, output, options=OPTIONS, table=_table(tmp_path, rows))
    held = {entry["name"]: patient for patient, entry in json.loads((output / "ledger.json").read_text()).items()}
    after = {held[case.patient]: case for case in PairStore(output)}
    assert {patient: case.split for patient, case in after.items()} == {"A": "train", "B": "test"}
    old = json.loads(before[after["A"].name])["about"]["sources"]["venous"]
    assert json.loads((output / after["A"].name / "case.json").read_text())["about"]["sources"]["venous"] != old
    assert [one.code for one in result.rejections if one.code == "withdrawn"] == ["withdrawn"]
    assert len(list((output / "pictures").iterdir())) == 2


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
    found = _pairs(tmp_path)
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
    table = _table(tmp_path, ["one,native,venous,train", "two,native,venous,test"])
    with pytest.raises(TrainError, match=r"(one in train, two in test|two in test, one in train)") as caught:
        find_pairs(root, options=OPTIONS, table=table)
    assert caught.value.code == "split_straddled"


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
        _put(file, only / file.relative_to(everything / "A"))
    with pytest.raises(TrainError) as caught:
        prepare(tmp_path / "in", store, options=OPTIONS)
    assert caught.value.code == "store_shrinks"
    assert len(PairStore(store)) == 3


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
    assert _places(found) == [{"native": "A/n", "venous": "A/v"}]
    assert found.pairings[0].split == "validation"


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


def test_a_monai_data_list_names_pairs_phases_and_folds(images: dict[str, Path], tmp_path: Path) -> None:
    """One item by phases, one by image and label whose phases the images tell, one that is not there."""
    root = tmp_path / "in"
    for patient in "AB":
        _put(images["native"], root / "imagesTr" / f"{patient}x.nii.gz")
        _put(images["venous"], root / "targetsTr" / f"{patient}y.nii.gz")
    items = [
        {"native": "imagesTr/Ax.nii.gz", "venous": "targetsTr/Ay.nii.gz", "fold": 0},
        {"image": "imagesTr/Bx.nii.gz", "label": "targetsTr/By.nii.gz", "fold": 1},
        {"image": "imagesTr/Cx.nii.gz"},
    ]
    table = tmp_path / "datalist.json"
    table.write_text(json.dumps({"training": items}), encoding="utf-8")
    found = find_pairs(root, options=OPTIONS, table=table)
    assert [(one.patient, one.split, sorted(one.contrasts)) for one in found.pairings] == [
        ("Ax", "validation", ["venous"]),
        ("Bx", "train", ["venous"]),
    ]
    assert _codes(found) == {"imagesTr/Cx.nii.gz": "series_missing"}
