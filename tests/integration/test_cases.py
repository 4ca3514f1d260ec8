"""Small series with one fault each: every one ends in the right pixels, or in a reason that is true.

Two ways in are held to the same outcome: selection, as the node does it, and ``s2ldm-node translate``, in this process. The
cases and what a right reader sees in them come from ``cases/gen.py`` of the real data folder. Not covered here: what
the receiver refuses before there is a series, and text of the derived objects.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.config import Route
from dicom_node.convert import translate_path
from dicom_node.derive.marks import Mark
from dicom_node.series import examine_series
from s2ldm_core.problem import ProblemError
from tests.paths import ROOT
from tests.tiny_model import write_tiny_package

pytestmark = pytest.mark.real_data

MIN_SLICES = 8
#: Case → codes of which one is its outcome; all others are accepted.
REFUSED = {
    "intercept_lost": {"not_hounsfield"},
    "truncated_pixels": {"pixels_unreadable"},
    "two_spacings": {"irregular_spacing"},
    "two_acq_same_places": {"duplicate_positions"},
    "tilt_no_tag": {"gantry_tilt"},
    "localizer_untagged": {"mixed_orientation"},
    "coronal_capture_inside": {"mixed_orientation"},
    "seven_slices": {"too_few_slices"},
    "position_missing": {"geometry_missing"},
    "pixelspacing_missing": {"geometry_missing"},
    "ds_comma_spacing": {"geometry_invalid"},
    "uid_too_long": {"source_header_incomplete"},
    "study_uid_missing": {"source_header_incomplete"},
    "two_patients": {"mixed_patients"},
    "rescale_missing": {"not_hu"},
    "dup_sop_uid_end": {"conflicting_instances"},
}
#: Cases that do not end as they should, and why.
SHORTFALLS: dict[str, str] = {}
ACCEPTED = (
    "plain", "slope_per_slice", "highbits_overlay", "signed12_zeroed", "padding_unsigned_vr", "padding_zero_is_water", "monochrome1",
    "jls_signed13", "j2k_signed13", "j2k_unsigned_stream_signed_header", "rle_signed16", "iop_jitter", "pos_rounded", "prone",
    "feet_first", "decubitus", "localizer_inside", "dose_report_inside", "order_scrambled", "instance_number_all_one",
    "instance_number_missing", "eight_slices", "nonsquare", "for_missing_first", "many_slices", "ds_too_long", "ds_comma_location",
    "is_as_float", "vr_binary_for_ds", "uid_leading_zero", "charset_unknown", "charset_gb18030_in_latin1", "ids_too_long", "ids_empty",
    "trailing_zeros", "trailing_padding_element", "modality_missing_end", "lo_in_sequence_tag_implicit", "un_private_sequences",
    "contrast_text_none", "big_endian", "deflated", "for_per_slice",
)  # fmt: skip


@pytest.fixture(scope="module")
def cases(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated cases: ``NAME/*.dcm`` and ``NAME.npz``. The generator keeps a file beside itself, so it is copied."""
    if not (real_data / "cases" / "gen.py").is_file():
        pytest.skip("the real data folder has no cases/gen.py")
    folder = tmp_path_factory.mktemp("cases")
    (folder / "gen.py").write_bytes((real_data / "cases" / "gen.py").read_bytes())
    subprocess.run(
        [sys.executable, str(folder / "gen.py"), str(folder / "out")],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=300,
    )
    return folder / "out"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny"), min_slices=MIN_SLICES))


def test_every_case_is_held_to_an_outcome(cases: Path) -> None:
    assert {path.name for path in cases.iterdir() if path.is_dir()} == {*ACCEPTED, *REFUSED}


@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED])
def test_selection(cases: Path, name: str) -> None:
    _skip_what_is_not_there(cases, name)

    decision = examine_series(
        sorted((cases / name).glob("*.dcm")), route=Route(phase="arterial"), min_slices=MIN_SLICES
    )

    assert decision.code in REFUSED.get(name, {"accepted"}), decision.reason


@pytest.mark.parametrize("name", list(REFUSED))
def test_translate_refuses_before_any_translation(cases: Path, package: str, tmp_path: Path, name: str) -> None:
    _skip_what_is_not_there(cases, name)
    stages: list[str] = []

    with pytest.raises(ProblemError) as caught:
        translate_path(
            cases / name,
            tmp_path / "out",
            phase="arterial",
            model=package,
            device="cpu",
            progress=lambda stage, _: stages.append(stage),
        )

    assert caught.value.code in REFUSED[name]
    assert caught.value.sentence
    assert caught.value.remedy
    assert set(stages) <= {"load", "read"}


@pytest.mark.parametrize("name", ACCEPTED)
def test_translate_gives_the_right_values_at_the_right_places(
    cases: Path, package: str, tmp_path: Path, name: str
) -> None:
    _skip_what_is_not_there(cases, name)
    truth = np.load(cases / f"{name}.npz")["hu"]

    done = translate_path(cases / name, tmp_path / "out", phase="arterial", model=package, device="cpu", mark=Mark.NONE)

    derived = [dcmread(path) for path in done.paths]
    sources = {str(one.SOPInstanceUID): one for one in map(dcmread, (cases / name).glob("*.dcm"))}
    assert len(derived) == len(truth)
    for one in derived:
        source = sources[one.SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert np.allclose(one.ImagePositionPatient, source.ImagePositionPatient, atol=1e-3)
    hu = np.stack([_hu(one) for one in sorted(derived, key=_along_normal)])
    untouched = (truth < -950) | (truth > 800)  # outside what a model changes: air and dense bone
    assert untouched.any()
    difference = np.maximum(hu, -1024.0) - np.maximum(truth, -1024.0)
    assert np.abs(difference[untouched]).max() <= 1.0


def _hu(image: Dataset) -> np.ndarray:
    hu: np.ndarray = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    return hu


def _along_normal(image: Dataset) -> float:
    cosines = np.array(image.ImageOrientationPatient, dtype=float)
    position = np.array(image.ImagePositionPatient, dtype=float)
    return float(np.cross(cosines[:3], cosines[3:]) @ position)


def _skip_what_is_not_there(cases: Path, name: str) -> None:
    if not any((cases / name).glob("*.dcm")):
        pytest.skip(f"{name} could not be generated here (a codec or DCMTK is missing)")
    if name in SHORTFALLS:
        pytest.xfail(SHORTFALLS[name])
