"""Contrast phases from words, clock and Hounsfield units."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from s2ldm_core.io import read_volume
from s2ldm_core.io.pixels import read_slice
from s2ldm_core.volume import canonical
from train.prepare.evidence import Evidence, measure
from train.prepare.phase import guess_from_tags, judge, seconds_after_injection
from train.prepare.words import phase_in_name, phase_in_words

NATIVE = Evidence(blood_cm2=0.1, blood_hu=110.0, arterial_cm2=0.0, slice_fraction=0.0, organ_hu=52.0, slices=12)
ARTERIAL = Evidence(blood_cm2=12.0, blood_hu=310.0, arterial_cm2=8.0, slice_fraction=1.0, organ_hu=62.0, slices=12)
VENOUS = Evidence(blood_cm2=20.0, blood_hu=140.0, arterial_cm2=0.0, slice_fraction=1.0, organ_hu=104.0, slices=12)


@pytest.mark.parametrize(
    ("words", "phase"),
    [
        ("Abdomen nativ 3.0", "native"),
        ("CT ABD AND PELVIS WO IV CONT", "native"),
        ("5.3 CHEST/ABD/PEL (NON CONTRAST)", "native"),
        ("Non-contrast", "native"),
        ("W/O CONTRAST", "native"),
        ("unenhanced", "native"),
        ("LATE ARTERIAL 2.0 B30f", "arterial"),
        ("CT CHEST PULMONARY ANGIO WITH IV CON", "arterial"),
        ("Abdomen arteriell", "arterial"),
        ("PORTAL VENOUS 1.25", "venous"),
        ("Abdomen portalvenös", "venous"),
        ("LIVER DELAYED 5MIN", "delayed"),
        ("Abdomen Spätphase", "delayed"),
        ("Fase tardía", "delayed"),
        ("equilíbrio", "delayed"),
        ("延迟期", "delayed"),
        ("LIVER 15 MIN", "delayed"),
        ("Abdomen o. KM", "native"),
        ("Thorax ohne Kontrastmittel", "native"),
        ("Abdomen sem contraste", "native"),
        ("Abdomen m. KM", "enhanced"),
        ("mit Kontrastmittel", "enhanced"),
        ("Leber früharteriell", "arterial"),
        ("Leber spätarteriell 1,0", "arterial"),
        ("平扫", "native"),
        ("动脉期 1.25mm", "arterial"),
        ("门静脉期", "venous"),
        ("артериальная фаза", "arterial"),
        ("CT ABD AND PELVIS WITH IV CONT", "enhanced"),
        ("CHEST 5X5", None),
        ("ARTERIAL AND VENOUS", None),
        ("CT ABD WITHOUT AND WITH IV CONTRAST", None),
        ("CONTOUR PLANNING", None),
        ("ARTHROGRAPHY", None),
    ],
)
def test_a_description_names_its_phase_or_none(words: str, phase: str | None) -> None:
    assert phase_in_words(words) == phase


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("ARTERIAL", "arterial"),
        ("12_0_scan", "native"),
        ("12_2_scan", "venous"),
        ("patient7_A", "arterial"),
        ("NCCT", "native"),
        ("V", "venous"),
        ("patient_1", None),
        ("0001", None),
        ("CT", None),
    ],
)
def test_a_folder_or_file_is_named_after_a_phase_or_not(name: str, phase: str | None) -> None:
    assert phase_in_name(name) == phase


def test_a_last_letter_behind_a_patients_name_is_no_phase_against_its_headers() -> None:
    """Cases counted ``CASE_A``, ``CASE_D``, ``CASE_N`` are three patients."""
    assert guess_from_tags({}, names=("CASE_A",))[0] is None
    assert guess_from_tags({"ContrastBolusAgent": "APPLIED"}, names=("CASE_N",))[0] == "enhanced"
    assert guess_from_tags({}, names=("Doe", "PVP"))[0] == "venous"


def test_the_clock_runs_from_the_start_of_the_injection_past_midnight() -> None:
    assert seconds_after_injection({"ContrastBolusStartTime": "235950", "AcquisitionTime": "000022.5"}) == 32.5
    assert seconds_after_injection({"ContrastBolusStartTime": "120000", "AcquisitionTime": "150000"}) is None


@pytest.mark.parametrize(("scanned", "phase"), [("100030", "arterial"), ("100112", "venous"), ("100500", "delayed")])
def test_the_clock_tells_the_phase_where_words_do_not(scanned: str, phase: str) -> None:
    facts = {"SeriesDescription": "Abdomen 3.0", "ContrastBolusStartTime": "100000", "AcquisitionTime": scanned}
    assert guess_from_tags(facts)[0] == phase


def test_an_agent_says_enhanced_but_oral_contrast_alone_says_nothing() -> None:
    assert guess_from_tags({"ContrastBolusAgent": "APPLIED"})[0] == "enhanced"
    assert guess_from_tags({"ContrastBolusAgent": "BARIUM", "ContrastBolusRoute": "ORAL"})[0] is None
    assert guess_from_tags({"ContrastBolusRoute": "Oral & IV"})[0] == "enhanced"


@pytest.mark.parametrize(
    ("said", "evidence", "phase", "contradicted"),
    [
        ("native", NATIVE, "native", False),
        (None, NATIVE, "native", False),
        (None, ARTERIAL, "arterial", False),
        ("enhanced", VENOUS, "venous", False),
        ("native", ARTERIAL, "arterial", True),
        ("venous", NATIVE, "native", True),
        ("arterial", VENOUS, "venous", True),
        ("venous", ARTERIAL, "arterial", True),
        ("delayed", VENOUS, "delayed", False),
    ],
)
def test_the_image_overrules_tags_that_lie(
    said: str | None, evidence: Evidence, phase: str, contradicted: bool
) -> None:
    verdict = judge(said, "Series Description", evidence)
    assert (verdict.phase, verdict.contradicted) == (phase, contradicted)


def test_blood_between_the_phases_leaves_an_unnamed_series_undecided() -> None:
    between = Evidence(blood_cm2=20.0, blood_hu=205.0, arterial_cm2=0.0, slice_fraction=1.0, organ_hu=60.0, slices=12)
    assert judge("enhanced", "Contrast/Bolus module", between).phase is None
    assert judge("venous", "Series Description", between).phase == "venous"


def test_an_empty_picture_gives_no_evidence_and_the_tags_stand() -> None:
    nothing = measure([(np.full((64, 64), -1000.0, np.float32), (4.0, 4.0))])
    assert nothing.silent
    assert judge("arterial", "Series Description", nothing).phase == "arterial"


def _axial(path: Path) -> Evidence:
    hu, _ = read_slice(path)
    rows, columns = (float(value) for value in dcmread(path, stop_before_pixels=True).PixelSpacing)
    return measure([(hu, (rows, columns))])


@pytest.mark.real_data
@pytest.mark.parametrize("exam", ["nysbu-A056642", "nysbu-A072894"])
def test_single_real_slices_with_and_without_contrast_are_told_apart_by_their_image(real_data: Path, exam: str) -> None:
    for path in sorted((real_data / "pairs" / exam / "axial").glob("*.dcm")):
        evidence = _axial(path)
        assert evidence.phase == ("arterial" if path.name.startswith("cect") else "native"), path.name


@pytest.mark.real_data
def test_real_slices_are_told_by_tags_and_image_where_the_series_description_is_mute(real_data: Path) -> None:
    for path in sorted((real_data / "pairs").glob("nysbu-*/axial/*.dcm")):
        header = dcmread(path, stop_before_pixels=True)
        facts = {
            k: str(header.get(k, ""))
            for k in ("SeriesDescription", "ProtocolName", "StudyDescription", "ContrastBolusAgent")
        }
        guess, said_by = guess_from_tags(facts)
        assert judge(guess, said_by, _axial(path)).phase == ("arterial" if path.name.startswith("cect") else "native")


@pytest.mark.real_data
def test_two_real_native_exams_of_one_patient_are_both_native(real_data: Path) -> None:
    assert [
        _axial(path).phase for path in sorted((real_data / "controls" / "nysbu-A048383-ncct-ncct").glob("*.dcm"))
    ] == ["native"] * 2


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("place", "phase"),
    [
        ("series/ncct-chest-siemens", "native"),
        ("series/cect-body-siemens-j2k", "venous"),
        ("series/cect-chest-ge-lungkernel", "arterial"),
        ("volumes/ts_example_ct_native.nii.gz", "native"),
        ("volumes/ts_aorta_ct_cropped_arterial.nii.gz", "arterial"),
    ],
)
def test_real_series_are_told_by_their_image_alone(real_data: Path, place: str, phase: str) -> None:
    volume, _ = canonical(read_volume(real_data / place))
    step = max(1, len(volume.hu) // 12)
    evidence = measure([(plane, volume.spacing_mm[1:]) for plane in volume.hu[::step]])
    assert evidence.phase == phase
