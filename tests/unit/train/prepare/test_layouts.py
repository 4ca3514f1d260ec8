"""Every layout, on a small tree written from phantoms as DICOM."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from s2ldm_core.io import read_volume, write_volume
from s2ldm_core.phantom import Phantom
from tests.prepare_trees import small_phantom, write_phase, write_study
from train.errors import TrainError
from train.prepare.evidence import measure
from train.prepare.layouts import Candidate, lay_out, recognise
from train.prepare.pairing import Pairing, Rejection, pair_up
from train.prepare.phase import Verdict, guess_from_tags, judge
from train.prepare.scan import aligned_by_name, evidence_slices, read_scan
from train.prepare.search import find_series
from train.prepare.tables import read_table

ASKED = ("arterial", "venous")


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return small_phantom()


@pytest.fixture(scope="module")
def phases(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One DICOM series per phase."""
    folder = tmp_path_factory.mktemp("phases")
    folders = {phase: folder / phase for phase in ("native", *ASKED)}
    write_study(phantom, folders)
    return folders


def _copy(source: Path, target: Path, **tags: str | None) -> None:
    """Copy a series, with other tags."""
    target.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        dataset = dcmread(file)
        for keyword, value in tags.items():
            if value is None:
                if keyword in dataset:
                    delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(target / file.name)


def _by_names(candidates: list[Candidate]) -> tuple[list[Pairing], list[Rejection]]:
    """Pair by what places and tags say, without looking at the images."""
    judged = []
    for one in candidates:
        guess, said_by = (
            (one.phase, one.said_by) if one.phase else guess_from_tags(one.series.facts, names=one.series.parts)
        )
        judged.append((one, judge(guess, said_by, None)))
    return pair_up(judged, phases=ASKED)


def _paired_places(pairing: Pairing) -> dict[str, str]:
    return {"native": pairing.native.series.place} | {str(p): one.series.place for p, one in pairing.contrasts.items()}


def test_phantom_folders_are_recognised_and_paired(phases: dict[str, Path], tmp_path: Path) -> None:
    for phase, folder in phases.items():
        _copy(folder, tmp_path / "phantom-000005" / phase)
    series = find_series(tmp_path)
    assert recognise(series) == "phantom"
    (pairing,), rejected = _by_names(lay_out(series, layout="auto", root=tmp_path))
    assert pairing.patient == "phantom-000005"
    assert _paired_places(pairing) == {phase: f"phantom-000005/{phase}" for phase in phases}
    assert rejected == []


def test_any_tree_is_paired_by_patient_study_and_tags(phases: dict[str, Path], tmp_path: Path) -> None:
    for number, patient in enumerate(("A", "B")):
        for phase, folder in phases.items():
            tags = {
                "PatientID": patient,
                "StudyInstanceUID": f"1.2.3.{number}",
                "SeriesDescription": f"ABD {phase.upper()} 3.0",
            }
            _copy(
                folder,
                tmp_path / f"export{number}" / f"series{phase[0]}9",
                **tags,
                SeriesInstanceUID=f"1.2.3.{number}.{ord(phase[0])}",
            )
    series = find_series(tmp_path)
    assert recognise(series) == "folders"
    pairings, rejected = _by_names(lay_out(series, layout="auto", root=tmp_path))
    assert [(one.patient, sorted(one.contrasts)) for one in pairings] == [
        ("A", ["arterial", "venous"]),
        ("B", ["arterial", "venous"]),
    ]
    assert rejected == []


def test_tags_that_lie_are_found_out_by_the_image(phases: dict[str, Path], tmp_path: Path) -> None:
    """The arterial series calls itself native and names no agent; the native one is nameless."""
    mute = {"ContrastBolusAgent": None, "StudyDescription": None}
    _copy(phases["native"], tmp_path / "s1", SeriesDescription="ABD 3.0", **mute)
    _copy(phases["arterial"], tmp_path / "s2", SeriesDescription="ABD NATIVE 3.0", **mute)
    judged: list[tuple[Candidate, Verdict]] = []
    for one in lay_out(find_series(tmp_path), layout="folders", root=tmp_path):
        guess, said_by = guess_from_tags(one.series.facts, names=one.series.parts)
        judged.append((one, judge(guess, said_by, measure(evidence_slices(one.series, root=tmp_path)))))
    (pairing,), _ = pair_up(judged, phases=ASKED)
    assert _paired_places(pairing) == {"native": "s1", "arterial": "s2"}
    assert pairing.verdicts["arterial"].contradicted


def test_phase_folders_go_by_the_folder_whatever_lies_below(phases: dict[str, Path], tmp_path: Path) -> None:
    for phase, name in (("native", "Non-contrast"), ("arterial", "Arterial"), ("venous", "Portal venous")):
        _copy(phases[phase], tmp_path / "case12" / name / "DICOM", SeriesDescription="")
    series = find_series(tmp_path)
    assert recognise(series) == "phase-folders"
    (pairing,), _ = _by_names(lay_out(series, layout="auto", root=tmp_path))
    assert pairing.patient == "case12"
    assert sorted(pairing.contrasts) == ["arterial", "venous"]


def test_two_studies_of_a_patient_stay_one_patient_below_a_common_folder(
    phases: dict[str, Path], tmp_path: Path
) -> None:
    for number, (patient, study) in enumerate((("P1", "2019"), ("P1", "2021"), ("P2", "2020"))):
        for phase in ("native", "venous"):
            tags = {"SeriesInstanceUID": f"1.2.{number}.{ord(phase[0])}"}
            _copy(phases[phase], tmp_path / "all" / patient / study / phase, **tags)
    pairings, _ = _by_names(lay_out(find_series(tmp_path), layout="auto", root=tmp_path))
    assert [(one.patient, one.study) for one in pairings] == [("P1", "2019"), ("P1", "2021"), ("P2", "2020")]


def test_waw_tace_files_are_paired_by_the_number_of_their_phase(phases: dict[str, Path], tmp_path: Path) -> None:
    for number, phase in enumerate(("native", "arterial", "venous")):
        (tmp_path / "42").mkdir(exist_ok=True)
        write_volume(read_volume(phases[phase]), tmp_path / "42" / f"42_{number}_scan.nii.gz")
    series = find_series(tmp_path)
    assert recognise(series) == "phase-folders"
    (pairing,), _ = _by_names(lay_out(series, layout="auto", root=tmp_path))
    assert pairing.patient == "42"
    assert _paired_places(pairing)["venous"] == "42/42_2_scan.nii.gz"


def test_mp_act_abbreviations_name_the_phases(phases: dict[str, Path], tmp_path: Path) -> None:
    for phase, name in (("native", "NCCT"), ("arterial", "A"), ("venous", "V")):
        _copy(phases[phase], tmp_path / "0007" / name, SeriesDescription="")
    (pairing,), _ = _by_names(lay_out(find_series(tmp_path), layout="mp-act", root=tmp_path))
    assert pairing.patient == "0007"
    assert sorted(pairing.contrasts) == ["arterial", "venous"]


def test_coltea_slices_lie_where_the_native_slice_of_their_name_lies(phases: dict[str, Path], tmp_path: Path) -> None:
    """The arterial scan is written on another table position; its slices 3 to 12 have the native slices' names."""
    _copy(phases["native"], tmp_path / "P1" / "NATIVE" / "DICOM")
    _copy(phases["arterial"], tmp_path / "P1" / "ARTERIAL" / "DICOM")
    for index, file in enumerate(sorted((tmp_path / "P1" / "ARTERIAL" / "DICOM").iterdir())):
        if index < 2:
            file.unlink()
            continue
        dataset = dcmread(file)
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, z + 100.0]
        dataset.save_as(file)
    series = find_series(tmp_path)
    assert recognise(series) == "coltea"
    candidates = {one.phase: one for one in lay_out(series, layout="auto", root=tmp_path)}
    assert {one.patient for one in candidates.values()} == {"P1"}
    assert all(one.by_name for one in candidates.values())
    native, arterial = (read_scan(candidates[phase].series, root=tmp_path) for phase in ("native", "arterial"))
    moved = aligned_by_name(arterial, native)
    assert moved.affine[:3, 3] == pytest.approx((native.affine @ [0, 0, 2, 1])[:3])
    assert np.array_equal(moved.hu, arterial.hu)


def test_coltea_names_that_do_not_run_alike_are_refused(phases: dict[str, Path], tmp_path: Path) -> None:
    _copy(phases["native"], tmp_path / "P1" / "NATIVE")
    _copy(phases["arterial"], tmp_path / "P1" / "ARTERIAL")
    for file in sorted((tmp_path / "P1" / "ARTERIAL").iterdir()):
        file.rename(file.with_name(f"other{file.name}"))
    candidates = {one.phase: one for one in lay_out(find_series(tmp_path), layout="coltea", root=tmp_path)}
    native, arterial = (read_scan(candidates[phase].series, root=tmp_path) for phase in ("native", "arterial"))
    with pytest.raises(TrainError) as caught:
        aligned_by_name(arterial, native)
    assert caught.value.code == "names_disagree"


def test_coltea_arrays_are_hu_plus_1024_with_the_spacing_beside_them(phases: dict[str, Path], tmp_path: Path) -> None:
    volume = read_volume(phases["native"])
    folder = tmp_path / "P1" / "NATIVE"
    folder.mkdir(parents=True)
    for index, plane in enumerate(volume.hu[::-1]):
        np.save(folder / f"IMG{index + 1}.npy", (plane + 1024).astype(np.int16))
    (series,) = find_series(tmp_path)
    with pytest.raises(TrainError) as caught:
        read_scan(series, root=tmp_path)
    assert caught.value.code == "geometry_unknown"
    (tmp_path / "geometry.json").write_text(json.dumps({"spacing_mm": list(volume.spacing_mm)}), encoding="utf-8")
    read = read_scan(series, root=tmp_path)
    assert np.abs(read.hu - volume.hu).max() <= 1.0
    assert read.spacing_mm == pytest.approx(volume.spacing_mm)


def test_a_table_in_vindr_columns_names_the_phases(phases: dict[str, Path], tmp_path: Path) -> None:
    rows = [("StudyInstanceUID", "SeriesInstanceUID", "Label")]
    for phase, label in (("native", "Non-contrast"), ("arterial", "Arterial"), ("venous", "Venous")):
        _copy(
            phases[phase],
            tmp_path / "1.2.3" / phase[::-1],
            SeriesDescription="",
            SeriesInstanceUID=f"1.2.3.{ord(phase[0])}",
        )
        rows.append(("1.2.3", f"1.2.3.{ord(phase[0])}", label))
    rows.append(("1.2.3", "1.2.3.999", "Venous"))
    table = tmp_path / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    candidates, missing = read_table(table, find_series(tmp_path), root=tmp_path)
    (pairing,), _ = _by_names(candidates)
    assert pairing.patient == "1.2.3"
    assert _paired_places(pairing) == {phase: f"1.2.3/{phase[::-1]}" for phase in phases}
    assert [(one.code, one.place) for one in missing] == [("series_missing", "1.2.3.999")]


def test_a_table_with_a_column_per_phase_takes_paths_and_splits(phases: dict[str, Path], tmp_path: Path) -> None:
    for phase in ("native", "venous"):
        _copy(phases[phase], tmp_path / "x" / phase[0], SeriesDescription="")
    table = tmp_path / "pairs.csv"
    table.write_text("patient,native,venous,split\nP1,x/n,x/v,test\n", encoding="utf-8")
    candidates, _ = read_table(table, find_series(tmp_path), root=tmp_path)
    (pairing,), _ = _by_names(candidates)
    assert (pairing.patient, pairing.split, sorted(pairing.contrasts)) == ("P1", "test", ["venous"])


def test_a_table_without_phases_is_refused_naming_its_columns(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text("who,what\na,b\n", encoding="utf-8")
    with pytest.raises(TrainError, match="who, what") as caught:
        read_table(table, [], root=tmp_path)
    assert caught.value.code == "table_columns"


def test_what_goes_into_no_case_is_listed_with_its_reason(
    phantom: Phantom, phases: dict[str, Path], tmp_path: Path
) -> None:
    """A localizer of three images, a second native series, a delayed series nobody asked for, a patient without native."""
    root = tmp_path
    for phase in ("native", "arterial"):
        _copy(phases[phase], root / "A" / phase)
    _copy(phases["native"], root / "A" / "native again", SeriesInstanceUID="1.2.9.1")
    _copy(phases["native"], root / "A" / "native scout", SeriesInstanceUID="1.2.9.2")
    for file in sorted((root / "A" / "native scout").iterdir())[3:]:
        file.unlink()
    write_phase(phantom, root / "A" / "delayed", "delayed")
    _copy(phases["venous"], root / "B" / "venous", SeriesInstanceUID="1.2.9.3")
    pairings, rejected = _by_names(lay_out(find_series(root), layout="phase-folders", root=root))
    assert [one.patient for one in pairings] == ["A"]
    assert {(one.place, one.code) for one in rejected} == {
        ("A/native again", "not_chosen"),
        ("A/native scout", "not_a_volume"),
        ("A/delayed", "phase_not_asked"),
        ("B/venous", "no_native"),
    }
    assert all(one.reason for one in rejected)


def test_series_of_different_regions_are_not_paired(phases: dict[str, Path], tmp_path: Path) -> None:
    for phase in ("native", "venous"):
        _copy(phases[phase], tmp_path / "A" / phase)
    for file in (tmp_path / "A" / "venous").iterdir():
        dataset = dcmread(file)
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, z + 55.0]
        dataset.save_as(file)
    pairings, rejected = _by_names(lay_out(find_series(tmp_path), layout="phase-folders", root=tmp_path))
    assert pairings == []
    assert {one.code for one in rejected} == {"no_overlap", "no_contrast"}


def test_a_copy_of_a_series_is_told_and_not_read_twice(phases: dict[str, Path], tmp_path: Path) -> None:
    _copy(phases["native"], tmp_path / "A" / "native")
    _copy(phases["native"], tmp_path / "B" / "native")
    original, copy = find_series(tmp_path)
    assert (original.place, original.fault, len(original.files)) == ("A/native", "", 12)
    assert (copy.place, copy.fault) == ("B/native", "12 images are copies of those in A/native")


def test_headers_alone_are_read_while_series_are_found(phases: dict[str, Path], tmp_path: Path) -> None:
    """Files cut off in the middle of their pixels are found all the same."""
    _copy(phases["native"], tmp_path / "A")
    for file in (tmp_path / "A").iterdir():
        file.write_bytes(file.read_bytes()[:-1000])
    (series,) = find_series(tmp_path)
    assert series.shape == (12, 96, 96)
    assert series.fault == ""
