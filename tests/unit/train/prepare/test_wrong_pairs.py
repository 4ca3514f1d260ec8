"""Small trees as hospitals and public archives have them: only right pairs are found, everything else has its reason."""

import json
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.prepare_trees import GRID, codes_of, copy_series, paired_places, pairs_in, put
from train.prepare.search import find_series


@pytest.mark.parametrize("channels", [{"0": "native", "1": "late arterial"}, None])
def test_nnunet_channels_are_the_phases_of_each_case(
    images: dict[str, Path], tmp_path: Path, channels: dict[str, str] | None
) -> None:
    """By ``dataset.json``, and where it names no phase by the images."""
    for case in ("LIVER_001", "LIVER_002"):
        put(images["native"], tmp_path / "imagesTr" / f"{case}_0000.nii.gz")
        put(images["arterial"], tmp_path / "imagesTr" / f"{case}_0001.nii.gz")
        put(images["native"], tmp_path / "labelsTr" / f"{case}.nii.gz")
    names = channels or {"0": "CT", "1": "CT"}
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": names}), encoding="utf-8")
    found = pairs_in(tmp_path)
    assert found.layout == "nnunet"
    assert [one.patient for one in found.pairings] == ["LIVER_001", "LIVER_002"]
    assert paired_places(found)[1] == {
        "native": "imagesTr/LIVER_002_0000.nii.gz",
        "arterial": "imagesTr/LIVER_002_0001.nii.gz",
    }


@pytest.mark.parametrize(("one", "other"), [("imagesTr", "targetsTr"), ("trainA", "trainB")])
def test_one_file_name_in_two_folders_is_one_case(
    images: dict[str, Path], tmp_path: Path, one: str, other: str
) -> None:
    for case in ("p7", "p8"):
        put(images["native"], tmp_path / one / f"{case}.nii.gz")
        put(images["venous"], tmp_path / other / f"{case}.nii.gz")
    found = pairs_in(tmp_path)
    assert found.layout == "files"
    assert paired_places(found) == [
        {"native": f"{one}/{case}.nii.gz", "venous": f"{other}/{case}.nii.gz"} for case in ("p7", "p8")
    ]


def test_sessions_of_a_bids_tree_are_studies_of_their_own(images: dict[str, Path], tmp_path: Path) -> None:
    """Native of one year, venous of the next: no pair."""
    put(images["native"], tmp_path / "sub-01/ses-2019/ct/sub-01_ses-2019_ce-none_ct.nii.gz")
    put(images["venous"], tmp_path / "sub-01/ses-2020/ct/sub-01_ses-2020_ce-portal_ct.nii.gz")
    put(images["native"], tmp_path / "sub-02/ses-1/ct/sub-02_ses-1_ce-none_ct.nii.gz")
    put(images["venous"], tmp_path / "sub-02/ses-1/ct/sub-02_ses-1_ce-portal_ct.nii.gz")
    found = pairs_in(tmp_path)
    assert found.layout == "bids"
    assert [(one.patient, one.study) for one in found.pairings] == [("sub-02", "ses-1")]
    assert set(codes_of(found).values()) == {"no_contrast", "no_native"}


def test_days_in_file_names_keep_studies_apart(images: dict[str, Path], tmp_path: Path) -> None:
    put(images["native"], tmp_path / "P1" / "20190301_native.nii.gz")
    put(images["venous"], tmp_path / "P1" / "2020-03-01_venous.nii.gz")
    assert pairs_in(tmp_path).pairings == []


def test_headers_a_year_apart_are_no_pair(phases: dict[str, Path], tmp_path: Path) -> None:
    copy_series(
        phases["native"], tmp_path / "P" / "native", patient="P", StudyDate="20190301", AcquisitionDate="20190301"
    )
    copy_series(
        phases["venous"], tmp_path / "P" / "venous", patient="P", StudyDate="20200301", AcquisitionDate="20200301"
    )
    found = pairs_in(tmp_path)
    assert found.pairings == []
    assert codes_of(found)["P/venous"] == "days_apart"


def test_cases_counted_by_letters_are_patients_not_phases(phases: dict[str, Path], tmp_path: Path) -> None:
    for letter in "AND":
        for number, phase in enumerate(("native", "venous")):
            copy_series(phases[phase], tmp_path / f"CASE_{letter}" / f"S{number}", patient=f"ID{letter}")
    copy_series(phases["native"], tmp_path / "CASE_V", patient="IDV")
    found = pairs_in(tmp_path)
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
    found = pairs_in(tmp_path)
    assert codes_of(found)["P/native"] == "derived_image"
    assert len(pairs_in(tmp_path, derived=(kind,)).pairings) == 1


def test_an_original_is_chosen_before_a_derived_series(phases: dict[str, Path], tmp_path: Path) -> None:
    reformat = ["DERIVED", "SECONDARY", "REFORMATTED"]
    copy_series(phases["native"], tmp_path / "P" / "native A", patient="P", ImageType=reformat)
    copy_series(phases["native"], tmp_path / "P" / "native B", patient="P")
    copy_series(phases["venous"], tmp_path / "P" / "venous", patient="P")
    found = pairs_in(tmp_path)
    assert paired_places(found)[0]["native"] == "P/native B"
    (why,) = [one.reason for one in found.rejections if one.code == "not_chosen"]
    assert why == "P/native B fits better: an original image, this one a derived image"


def test_a_soft_kernel_is_worth_more_than_a_slice_of_coverage(phases: dict[str, Path], tmp_path: Path) -> None:
    copy_series(phases["native"], tmp_path / "P" / "native", patient="P", ConvolutionKernel="B30f")
    soft = copy_series(phases["venous"], tmp_path / "P" / "venous soft", patient="P", ConvolutionKernel="B30f")
    copy_series(phases["venous"], tmp_path / "P" / "venous lung", patient="P", ConvolutionKernel="B70f")
    soft[-1].unlink()
    found = pairs_in(tmp_path)
    assert paired_places(found)[0]["venous"] == "P/venous soft"
    (why,) = [one.reason for one in found.rejections if one.code == "not_chosen"]
    assert "sharp kernel (B70f)" in why


def test_an_enhanced_scan_in_the_noise_of_a_lung_kernel_is_not_the_native_one(
    phases: dict[str, Path], tmp_path: Path
) -> None:
    """Nothing in it is even, and no tag says which phase it is: it is left out, not taken for native."""
    copy_series(phases["arterial"], tmp_path / "S1", patient="P")
    copy_series(phases["arterial"], tmp_path / "S2", patient="P", noise_hu=120.0, ConvolutionKernel="B70f")
    found = pairs_in(tmp_path)
    assert {one.series.name: verdict.phase for one, verdict in found.judged} == {"S1": "arterial", "S2": None}
    assert found.pairings == []


def test_a_silent_delayed_series_is_told_by_its_time(phases: dict[str, Path], tmp_path: Path) -> None:
    times = {"native": "100000", "arterial": "100400", "venous": "100440", "delayed": "100700"}
    for phase, time in times.items():
        copy_series(phases[phase], tmp_path / f"S{time}", patient="P", AcquisitionTime=time)
    found = pairs_in(tmp_path, phases=("arterial", "venous", "delayed"))
    assert paired_places(found) == [{"native": "S100000"} | {p: f"S{t}" for p, t in times.items() if p != "native"}]


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
    found = pairs_in(tmp_path)
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
    assert paired_places(pairs_in(tmp_path)) == [{"native": "S1", "venous": "S2"}]


def test_values_without_a_rescale_are_refused_and_another_series_takes_their_place(
    phases: dict[str, Path], tmp_path: Path
) -> None:
    copy_series(phases["native"], tmp_path / "P" / "native A", patient="P", RescaleSlope=None, RescaleIntercept=None)
    copy_series(phases["native"], tmp_path / "P" / "native B", patient="P")
    copy_series(phases["venous"], tmp_path / "P" / "venous", patient="P")
    found = pairs_in(tmp_path)
    assert codes_of(found)["P/native A"] == "not_hu"
    assert paired_places(found)[0]["native"] == "P/native B"


@pytest.mark.real_data
@pytest.mark.parametrize("patient", ["hcc_005_36548", "hcc_007_67834"])
def test_a_stomach_full_of_oral_contrast_is_no_arterial_phase(real_data: Path, tmp_path: Path, patient: str) -> None:
    """Both real native scans have it; names say nothing here."""
    for number, phase in enumerate(("native", "arterial", "venous")):
        put(real_data / "pairs3d" / patient / f"{phase}.nii.gz", tmp_path / "P" / f"img{number}x.nii.gz")
    verdicts = [verdict.phase for _, verdict in pairs_in(tmp_path, layout="folders").judged]
    assert verdicts == ["native", "arterial", "venous"]
