"""Selection: which series are translated, and what is said about those that are not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage

from dicom_node.config import Route
from dicom_node.series import Decision, examine_series
from dicom_node.series.enhancement import Enhancement
from dicom_node.series.rules import RULES, Rule
from dicom_node.series.rules.enhanced_by_hu import NotEnhancedByHU
from tests.ct_series import body_hu

Writer = Callable[..., list[Path]]
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


@pytest.fixture
def native(write_ct_series: Writer) -> list[Path]:
    """Ten slices of a small body."""
    return write_ct_series(body_hu(10))


def route(enhancement_check: Literal["hu", "tags"] = "hu") -> Route:
    return Route(phase="arterial", enhancement_check=enhancement_check, anatomy="any")


def measuring(measure: Callable[..., Enhancement]) -> tuple[Rule, ...]:
    """The rules, with ``measure`` in place of looking at pixels."""
    return (*RULES[:-1], NotEnhancedByHU(measure=measure))


def unreachable(*_: object) -> Enhancement:
    raise AssertionError


def select(paths: list[Path], *, min_slices: int = 8) -> Decision:
    return examine_series(paths, route=route("tags"), min_slices=min_slices)


def change(paths: list[Path], **attributes: Any) -> None:
    """Set attributes in every file; None removes one."""
    for path in paths:
        dataset = dcmread(path)
        for keyword, value in attributes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.save_as(path)


def code_item(value: str, scheme: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "meaning"
    return item


def test_native_series_is_accepted(native: list[Path]) -> None:
    decision = select(native)

    assert decision.accepted
    assert decision.details["slices"] == 10


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"SOPClassUID": MRImageStorage}, "not_ct"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "secondary_capture"),
        ({"SOPClassUID": ENHANCED_CT}, "multi_frame"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "PERFUSION", "CBF"]}, "derived_map"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "derived_map"),
        ({"RescaleType": "US"}, "not_hu"),
        ({"RescaleIntercept": None}, "not_hu"),
        ({"SyntheticData": "YES"}, "synthetic"),
        ({"ContrastBolusAgent": "OMNIPAQUE 350"}, "enhanced"),
        ({"ContrastBolusAgent": "", "ContrastBolusRoute": "Oral & IV"}, "enhanced"),
        ({"ContrastBolusVolume": "100"}, "enhanced"),
        ({"ImagePositionPatient": None}, "geometry_missing"),
        ({"ImagePositionPatient": [0, 0, 0]}, "duplicate_positions"),
    ],
)
def test_series_is_refused_for(native: list[Path], attributes: dict[str, Any], code: str) -> None:
    change(native, **attributes)

    decision = select(native)

    assert not decision.accepted
    assert decision.code == code
    assert decision.problem.sentence.endswith(".")
    assert decision.problem.remedy


@pytest.mark.parametrize(
    "attributes",
    [
        {"ContrastBolusAgent": "NONE"},
        {"ContrastBolusAgent": "No Contrast"},
        {"ContrastBolusAgent": "w/o contrast"},
        {"ContrastBolusAgent": "-"},
        {"ContrastBolusAgent": "", "ContrastBolusRoute": ""},
        {"ContrastBolusAgent": "GASTROGRAFIN", "ContrastBolusRoute": "ORAL"},
        {"ContrastBolusRoute": "Per os"},
        {"ContrastBolusVolume": "0"},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
        {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"]},
        {"ImageType": None},
        {"RescaleType": None},
        {"SeriesDescription": "Abdomen post contrast"},  # only a hint
    ],
)
def test_series_is_accepted_with(native: list[Path], attributes: dict[str, Any]) -> None:
    change(native, **{keyword: value for keyword, value in attributes.items() if value is not None})
    change(native, **{keyword: None for keyword, value in attributes.items() if value is None})

    assert select(native).accepted


@pytest.mark.parametrize("agent", ["", "IOHEXOL"])
def test_whose_the_series_is_goes_with_the_answer(native: list[Path], agent: str) -> None:
    change(native, PatientName="DOE^JANE\x07", AccessionNumber="A7", ContrastBolusAgent=agent)

    subject = select(native).subject

    assert subject is not None
    assert (subject.patient_name, subject.accession_number) == ("DOE^JANE", "A7")


def test_description_by_which_enhancement_is_suspected_is_noted(native: list[Path]) -> None:
    change(native, SeriesDescription="Thorax ARTERIAL 1.0")

    assert select(native).details["description_hint"] == "SeriesDescription: ARTERIAL"


def test_synthesizing_equipment_makes_a_series_synthetic(native: list[Path]) -> None:
    equipment = Dataset()
    equipment.Manufacturer = "Somebody"
    equipment.PurposeOfReferenceCodeSequence = Sequence([code_item("109100", "DCM")])
    change(native[:1], ContributingEquipmentSequence=Sequence([equipment]))

    decision = select(native)

    assert decision.code == "synthetic"
    assert "1 of 10" in decision.problem.sentence


def test_acquisition_equipment_does_not_make_a_series_synthetic(native: list[Path]) -> None:
    equipment = Dataset()
    equipment.Manufacturer = "Somebody"
    equipment.PurposeOfReferenceCodeSequence = Sequence([code_item("109101", "DCM")])
    change(native, ContributingEquipmentSequence=Sequence([equipment]))

    assert select(native).accepted


def test_own_uid_root_alone_does_not_make_a_series_synthetic(native: list[Path]) -> None:
    change(native, SeriesInstanceUID="2.25.1")

    assert select(native).accepted


def test_one_enhanced_image_among_many_is_enough(native: list[Path]) -> None:
    change(native[4:5], ContrastBolusAgent="ULTRAVIST")

    assert "1 of 10" in select(native).problem.sentence


def test_too_few_slices_says_how_many_are_needed(native: list[Path]) -> None:
    decision = select(native[:1], min_slices=8)

    assert decision.code == "too_few_slices"
    assert "1 slice" in decision.problem.sentence
    assert "8" in decision.problem.sentence


def test_localizer_in_an_axial_series_is_set_aside(native: list[Path]) -> None:
    change(native[:1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])

    decision = select(native)

    assert decision.accepted
    assert decision.set_aside == (dcmread(native[0]).SOPInstanceUID,)
    assert decision.details["set_aside"] == {"localizer": 1}


def test_multi_frame_image_among_slices_is_refused(native: list[Path]) -> None:
    change(native[:1], SOPClassUID=ENHANCED_CT)

    assert select(native).code == "multi_frame"


def test_missing_slice_in_the_middle_is_refused_with_its_place(native: list[Path]) -> None:
    del native[5]

    decision = select(native)

    assert decision.code == "irregular_spacing"
    assert "4.00 mm between" in decision.problem.sentence


def test_unreadable_file_is_refused_with_its_number(native: list[Path]) -> None:
    native[3].write_bytes(b"this is not DICOM")

    decision = select(native)

    assert decision.code == "unreadable_instances"
    assert "1 of 10" in decision.problem.sentence


def test_sop_class_emptied_by_deidentification_is_found_in_the_file_meta(native: list[Path]) -> None:
    for path in native:
        dataset = dcmread(path)
        dataset.SOPClassUID = ""
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.save_as(path)

    assert select(native).accepted


def test_enhanced_hu_without_tags_is_refused_and_explained(native: list[Path]) -> None:
    found = Enhancement(volume_ml=50, area_cm2=5, slice_fraction=0.9, mean_hu=310)

    decision = examine_series(native, route=route(), min_slices=8, rules=measuring(lambda _paths, _spacing: found))

    assert decision.code == "enhanced_by_hu"
    assert "310 HU" in decision.problem.sentence
    assert "enhancement_check" in decision.problem.remedy


def test_enhanced_hu_is_not_looked_for_where_the_route_says_tags(native: list[Path]) -> None:
    assert examine_series(native, route=route("tags"), min_slices=8, rules=measuring(unreachable)).accepted


def test_headers_that_refuse_spare_the_pixels(native: list[Path]) -> None:
    change(native, ContrastBolusAgent="ULTRAVIST")

    assert examine_series(native, route=route(), min_slices=8, rules=measuring(unreachable)).code == "enhanced"


def test_pixels_that_cannot_be_decoded_are_refused(native: list[Path]) -> None:
    path = native[0]
    path.write_bytes(path.read_bytes()[:-100])

    assert examine_series(native, route=route(), min_slices=8).code == "pixels_unreadable"


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("series/ncct-chest-siemens", "accepted"),
        ("series/ncct-head-ge-tilt", "gantry_tilt"),
        ("series/cect-body-siemens-j2k", "enhanced"),
        ("series/cect-chest-ge-lungkernel", "enhanced"),
        ("odd/enhanced", "derived_map"),
        ("odd/philips-phantom-nonaxial", "secondary_capture"),
        ("odd/tiny-study-98892001/CT2N", "localizer"),
        ("odd/nonsquare-oriented", "not_hu"),
    ],
)
def test_real_series(real_data: Path, folder: str, code: str) -> None:
    paths = sorted(path for path in (real_data / folder).iterdir() if path.is_file() and path.suffix != ".txt")

    assert examine_series(paths, route=Route(phase="arterial"), min_slices=2).code == code


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["series/cect-body-siemens-j2k", "series/cect-chest-ge-lungkernel"])
def test_real_enhanced_series_is_recognised_without_its_tags(real_data: Path, tmp_path: Path, folder: str) -> None:
    paths = []
    for number, path in enumerate(p for p in sorted((real_data / folder).iterdir()) if p.suffix != ".txt"):
        dataset = dcmread(path)
        for keyword in ("ContrastBolusAgent", "ContrastBolusRoute", "ContrastBolusVolume", "ContrastBolusTotalDose"):
            dataset.pop(keyword, None)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):  # which de-identification took from one of them
            setattr(dataset, keyword, dataset.get(keyword) or "1.2.3")
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1])

    assert examine_series(paths, route=Route(phase="arterial"), min_slices=2).code == "enhanced_by_hu"
