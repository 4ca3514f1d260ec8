"""Derived objects: what each attribute says, and that the source's own values arrive unchanged."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.series import write_derived_series
from dicom_node.errors import DeriveError
from dicom_node.phases import PHASES
from s2ldm_core.translation import Translation

SHA256 = "ab" * 32


@pytest.fixture
def info() -> DerivationInfo:
    return DerivationInfo(
        translation=Translation(
            phase="arterial",
            model_name="demo",
            model_version="1.0",
            weights_sha256=SHA256,
            training_statement="digital phantom only",
            seed=7,
            steps=2,
        ),
        route="CECT_ART",
        software_version="9.9",
        created_at=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
    )


@pytest.fixture
def hu() -> np.ndarray:
    """(3, 6, 5) HU, every voxel different."""
    return (np.arange(90).reshape(3, 6, 5) * 7 - 300).astype(np.float32)


def derive(sources: list[Path], hu: np.ndarray, info: DerivationInfo, folder: Path, **options: object) -> list[Dataset]:
    series = write_derived_series(sources, hu, info=info, folder=folder, **options)
    return [dcmread(one.path) for one in series.instances]


def hu_of(dataset: Dataset) -> np.ndarray:
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def element_bytes(path: Path, keyword: str) -> bytes:
    """A root element's value as it stands in the file."""
    dataset = dcmread(path, stop_before_pixels=True)
    return dataset.get_item(keyword).value.rstrip(b" ")


@pytest.fixture
def derived(write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path) -> list[Dataset]:
    return derive(write_ct_series(hu * 0), hu, info, tmp_path / "out")


def test_one_secondary_capture_instance_per_slice(derived: list[Dataset], hu: np.ndarray) -> None:
    assert [one.SOPClassUID for one in derived] == [SecondaryCaptureImageStorage] * 3
    assert len({one.SOPInstanceUID for one in derived}) == 3
    assert len({one.SeriesInstanceUID for one in derived}) == 1


def test_hu_arrive_exactly(derived: list[Dataset], hu: np.ndarray) -> None:
    assert np.array_equal(np.stack([hu_of(one) for one in derived]), hu)


def test_object_says_that_it_is_synthetic(derived: list[Dataset]) -> None:
    one = derived[0]
    assert one.SyntheticData == "YES"
    assert one.Modality == "CT"
    assert one.ConversionType == "SYN"
    assert list(one.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert one.ImageComments == "Synthetic image. Not acquired. Not for primary diagnosis."
    assert one.BurnedInAnnotation == "NO"
    assert one.SeriesDescription == "SYNTHETIC arterial (demo 1.0)"


def test_derivation_names_phase_model_weights_seed_steps_and_training(derived: list[Dataset]) -> None:
    text = derived[0].DerivationDescription
    for part in ("arterial", "demo version 1.0", SHA256, "seed 7", "steps 2", "digital phantom only"):
        assert part in text
    assert "DerivationCodeSequence" not in derived[0]


def test_no_attribute_says_that_an_agent_was_given(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu, ContrastBolusAgent="NONE", ContrastBolusRoute="ORAL", ContrastBolusVolume="0")
    for one in derive(sources, hu, info, tmp_path / "out"):
        assert [element.keyword for element in one if "Contrast" in element.keyword] == []


def test_scanner_and_model_are_contributing_equipment(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu, Manufacturer="SCANNERMAKER", ManufacturerModelName="CT 1", SoftwareVersions="3")
    scanner, model = derive(sources, hu, info, tmp_path / "out")[0].ContributingEquipmentSequence
    assert (scanner.PurposeOfReferenceCodeSequence[0].CodeValue, scanner.Manufacturer) == ("109101", "SCANNERMAKER")
    assert (scanner.ManufacturerModelName, scanner.SoftwareVersions) == ("CT 1", "3")
    assert (model.PurposeOfReferenceCodeSequence[0].CodeValue, model.ManufacturerModelName) == ("109100", "demo 1.0")
    assert list(model.SoftwareVersions) == ["s2ldm-node 9.9", SHA256, "demo 1.0"]


def test_scanner_without_a_manufacturer_is_unknown_equipment(derived: list[Dataset]) -> None:
    assert derived[0].ContributingEquipmentSequence[0].Manufacturer == "UNKNOWN"


def test_each_instance_names_its_source_slice(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu)
    for path, one in zip(sources, derive(sources, hu, info, tmp_path / "out"), strict=True):
        (item,) = one.SourceImageSequence
        source = dcmread(path)
        assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert item.ReferencedSOPClassUID == CTImageStorage
        assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert one.InstanceNumber == source.InstanceNumber


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("PixelSpacing", "007.812500e-01\\0.50"),
        ("ImagePositionPatient", "-1.50\\+2.000\\03.0"),
        ("ImageOrientationPatient", "1.0\\0.0\\0.0\\0.0\\0.9483237\\-0.3173047"),
        ("SliceThickness", "2.500"),
        ("SliceLocation", "-010.0"),
    ],
)
def test_geometry_keeps_its_text(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path, keyword: str, text: str
) -> None:
    (source,) = write_ct_series(hu[:1], **{keyword: text.split("\\") if "\\" in text else text})
    series = write_derived_series([source], hu[:1], info=info, folder=tmp_path / "out")
    assert element_bytes(series.instances[0].path, keyword) == text.encode()


def test_overlong_decimals_are_shortened_to_legal_ones(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    (source,) = write_ct_series(hu[:1])
    raw = source.read_bytes()
    legal = b"DS\x08\x001.0\\1.0 "
    overlong = b"DS\x24\x000.97656297683715820\\0.976562976837158 "
    assert raw.count(legal) == 1
    source.write_bytes(raw.replace(legal, overlong))
    (one,) = derive([source], hu[:1], info, tmp_path / "out")
    assert [len(str(value)) <= 16 for value in one.PixelSpacing] == [True, True]
    assert [float(value) for value in one.PixelSpacing] == pytest.approx([0.97656297683715820] * 2, abs=1e-13)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_patient_and_study_arrive_whatever_the_transfer_syntax(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path, syntax: Any
) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "X1", "99TEST", "Übersicht"
    sources = write_ct_series(
        hu,
        PatientName="Müller^Jörg",
        StudyID="S1",
        StudyDate="20200102",
        AccessionNumber="A1",
        PregnancyStatus=4,
        ProcedureCodeSequence=[item],
    )
    for path in sources:
        dataset = dcmread(path)
        if syntax is ExplicitVRBigEndian:
            dataset["PixelData"].VR = "OW"
            dataset.PixelData = dataset.pixel_array.astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        dcmwrite(path, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    source = dcmread(sources[0])
    one = derive(sources, hu, info, tmp_path / "out")[0]
    assert one.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyID", "StudyDate", "AccessionNumber"):
        assert one[keyword].value == source[keyword].value
    assert one.SpecificCharacterSet == source.SpecificCharacterSet
    assert one.PregnancyStatus == 4
    assert one.ProcedureCodeSequence[0].CodeMeaning == "Übersicht"
    assert one.FrameOfReferenceUID == source.FrameOfReferenceUID


@pytest.mark.parametrize("character_set", ["ISO_IR 192", "ISO_IR 999", "", "\\ISO 2022 IR 87"])
def test_a_name_that_does_not_follow_its_character_set_arrives_byte_for_byte(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path, character_set: str
) -> None:
    (source,) = write_ct_series(hu[:1], PatientName="M#ller^J#rg ", InstitutionName="Spital #")
    dataset = dcmread(source)
    dataset.SpecificCharacterSet = character_set.split("\\") if "\\" in character_set else character_set
    dataset.save_as(source)
    source.write_bytes(source.read_bytes().replace(b"M#ller^J#rg", b"M\xfcller^J\xf6rg").replace(b"l #", b"l \xfc"))
    series = write_derived_series([source], hu[:1], info=info, folder=tmp_path / "out")
    assert element_bytes(series.instances[0].path, "PatientName") == b"M\xfcller^J\xf6rg"
    assert b"Spital \xfc" in series.instances[0].path.read_bytes()


def test_missing_type_2_attributes_become_empty(derived: list[Dataset]) -> None:
    for keyword in ("StudyID", "StudyDate", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate"):
        assert derived[0][keyword].is_empty
    assert derived[0]["SliceThickness"].is_empty


def test_series_number_is_the_source_s_plus_the_offset(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu, SeriesNumber=3)
    assert derive(sources, hu, info, tmp_path / "out")[0].SeriesNumber == 1003


def test_description_is_cut_to_64_characters_and_begins_with_synthetic(info: DerivationInfo) -> None:
    text = replace(info, series_description="ü" * 100).description
    assert len(text) == 64
    assert text.startswith("SYNTHETIC ")
    assert text.isascii()


def test_window_is_the_phase_s_unless_the_route_sets_one(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu)
    one = derive(sources, hu, info, tmp_path / "default")[0]
    assert (one.WindowCenter, one.WindowWidth) == PHASES["arterial"].window_hu
    two = derive(sources, hu, replace(info, window_hu=(40.0, 350.5)), tmp_path / "set")[0]
    assert (two.WindowCenter, two.WindowWidth) == (40.0, 350.5)
    assert two.WindowCenterWidthExplanation == "SYNTHETIC ARTERIAL"


def test_window_starts_from_the_source_s_and_is_constant_over_the_series(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu)
    for path, centre in zip(sources, (30, 40, 60), strict=True):
        dataset = dcmread(path)
        dataset.WindowCenter, dataset.WindowWidth = [centre, -600], [400, 1500]
        dataset.save_as(path)
    derived = derive(sources, hu, info, tmp_path / "default")
    assert {(one.WindowCenter, one.WindowWidth) for one in derived} == {(105, 530)}
    (fixed,) = {
        (one.WindowCenter, one.WindowWidth)
        for one in derive(sources, hu, replace(info, window_hu=(1.0, 20.0)), tmp_path / "set")
    }
    assert fixed == (1, 20)


def test_rescale_is_to_hu_with_slope_1(derived: list[Dataset]) -> None:
    assert {(one.RescaleSlope, one.RescaleIntercept, one.RescaleType) for one in derived} == {(1, -1024, "HU")}
    assert {(one.BitsStored, one.PixelRepresentation) for one in derived} == {(16, 0)}


def test_intercept_is_low_enough_for_the_lowest_hu_of_the_series(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    hu[2, 0, 0] = -3000
    derived = derive(write_ct_series(hu * 0), hu, info, tmp_path / "out")
    assert {one.RescaleIntercept for one in derived} == {-3072}
    assert hu_of(derived[2])[0, 0] == -3000


def test_padding_is_restated_in_stored_units(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    padding = np.zeros(hu.shape, dtype=bool)
    padding[:, 0, :2] = True
    sources = write_ct_series(hu * 0, PixelPaddingValue=-976)  # -2000 HU with the source's intercept of -1024
    derived = derive(sources, hu, info, tmp_path / "out", padding=padding)
    for one, plane, mask in zip(derived, hu, padding, strict=True):
        assert one.PixelPaddingValue + one.RescaleIntercept == -2000
        assert np.array_equal(one.pixel_array == one.PixelPaddingValue, mask)
        assert np.array_equal(hu_of(one)[~mask], plane[~mask])


def test_padding_written_unsigned_for_signed_pixels_is_understood(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    padding = np.zeros(hu.shape, dtype=bool)
    padding[0, 0, 0] = True
    sources = write_ct_series(hu * 0)
    for path in sources:
        dataset = dcmread(path)
        dataset.add_new("PixelPaddingValue", "US", 65536 - 976)
        dataset.save_as(path)
    derived = derive(sources, hu, info, tmp_path / "out", padding=padding)
    assert derived[0].PixelPaddingValue + derived[0].RescaleIntercept == -2000


def test_padding_that_the_header_does_not_explain_gets_a_value_below_all_hu(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    padding = np.zeros(hu.shape, dtype=bool)
    padding[1, 2, 2] = True
    derived = derive(write_ct_series(hu * 0), hu, info, tmp_path / "out", padding=padding)
    assert np.array_equal(derived[1].pixel_array == derived[1].PixelPaddingValue, padding[1])


def test_lossy_history_is_carried_over(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "12.5",
        "LossyImageCompressionMethod": "ISO_15444_1",
    }
    one = derive(write_ct_series(hu, **lossy), hu, info, tmp_path / "out")[0]
    assert {keyword: str(one[keyword].value) for keyword in lossy} == lossy


def test_private_and_protocol_attributes_stay_behind(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu, ProtocolName="CHEST WO", BodyPartExamined="CHEST WO C", AcquisitionNumber=4)
    one = derive(sources, hu, info, tmp_path / "out")[0]
    assert "ProtocolName" not in one
    assert "BodyPartExamined" not in one
    assert "AcquisitionNumber" not in one
    assert all(not element.tag.is_private for element in one)


def test_image_type_value_3_is_constant_over_the_series(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    dataset = dcmread(sources[1])
    dataset.ImageType = ["DERIVED", "SECONDARY", "REFORMATTED"]
    dataset.save_as(sources[1])
    derived = derive(sources, hu, info, tmp_path / "out")
    assert {tuple(one.ImageType) for one in derived} == {("DERIVED", "SECONDARY", "AXIAL")}


def test_ct_output_is_a_derived_ct_series(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    derived = derive(write_ct_series(hu, KVP="120"), hu, replace(info, output="ct"), tmp_path / "out")
    assert {one.SOPClassUID for one in derived} == {CTImageStorage}
    assert {tuple(one.ImageType) for one in derived} == {("DERIVED", "SECONDARY", "AXIAL")}
    assert derived[0].KVP == 120
    assert derived[0].SyntheticData == "YES"
    assert np.array_equal(np.stack([hu_of(one) for one in derived]), hu)


def test_multiframe_output_is_one_instance_with_a_position_per_frame(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu)
    form = replace(info, output="multiframe-sc")
    (one,) = derive(sources, hu, form, tmp_path / "out")
    assert one.SOPClassUID == MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    assert one.NumberOfFrames == 3
    assert np.array_equal(hu_of(one), hu)
    positions = [group.PlanePositionSequence[0].ImagePositionPatient for group in one.PerFrameFunctionalGroupsSequence]
    assert positions == [dcmread(path).ImagePositionPatient for path in sources]
    assert [item.ReferencedSOPInstanceUID for item in one.SourceImageSequence] == [
        dcmread(path).SOPInstanceUID for path in sources
    ]


def test_the_same_input_gives_the_same_bytes(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu)
    first = write_derived_series(sources, hu, info=info, folder=tmp_path / "one")
    second = write_derived_series(sources, hu, info=info, folder=tmp_path / "two")
    for one, two in zip(first.instances, second.instances, strict=True):
        assert one.path.read_bytes() == two.path.read_bytes()


@pytest.mark.parametrize(
    ("lost", "code"),
    [("StudyInstanceUID", "source_header_incomplete"), ("ImagePositionPatient", "source_header_incomplete")],
)
def test_source_without_identity_or_geometry_is_refused(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path, lost: str, code: str
) -> None:
    sources = write_ct_series(hu)
    dataset = dcmread(sources[1])
    delattr(dataset, lost)
    dataset.save_as(sources[1])
    with pytest.raises(DeriveError) as caught:
        write_derived_series(sources, hu, info=info, folder=tmp_path / "out")
    assert caught.value.code == code
    assert lost in caught.value.sentence


def test_volume_that_is_not_finite_is_refused(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    sources = write_ct_series(hu)
    hu[0, 0, 0] = np.nan
    with pytest.raises(DeriveError) as caught:
        write_derived_series(sources, hu, info=info, folder=tmp_path / "out")
    assert caught.value.code == "hu_not_finite"
    assert not list((tmp_path / "out").glob("*.dcm"))


def test_volume_of_another_shape_is_refused(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    with pytest.raises(DeriveError) as caught:
        write_derived_series(write_ct_series(hu), hu[:, :, :4], info=info, folder=tmp_path / "out")
    assert caught.value.code == "slices_do_not_fit"


def test_nothing_but_the_instances_is_left_in_the_folder(
    write_ct_series: Any, hu: np.ndarray, info: DerivationInfo, tmp_path: Path
) -> None:
    series = write_derived_series(write_ct_series(hu), hu, info=info, folder=tmp_path / "out")
    assert sorted((tmp_path / "out").iterdir()) == [one.path for one in series.instances]
