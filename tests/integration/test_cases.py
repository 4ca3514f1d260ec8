"""Small series with one fault each: every one ends in the right pixels, or in a reason that is true.

Two ways in are held to the outcomes of ``tests/case_outcomes.py``: selection, as the node does it, and ``s2ldm-node
translate``, in this process. The cases and what a right reader sees in them come from ``cases/gen.py`` of the real data
folder. Not covered here: the ways over the network (``test_cases_on_the_wire.py``), and text of the derived objects.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.config import Route
from dicom_node.convert import translate_path
from dicom_node.derive.marks import Mark
from dicom_node.input_series import select_slices
from dicom_node.series import examine_series
from s2ldm_core.problem import ProblemError
from tests.case_outcomes import ACCEPTED, MIN_SLICES, REAL, REAL_TRANSLATED, REFUSED
from tests.tiny_model import write_tiny_package

pytestmark = pytest.mark.real_data

#: All are translated over the network already; here every other short one, and all of them with ``S2LDM_ALL_WAYS=1``.
TRANSLATED = [*ACCEPTED] if os.environ.get("S2LDM_ALL_WAYS") else [one for one in ACCEPTED if one != "many_slices"][::2]
#: Cases that do not end as they should, and why.
SHORTFALLS: dict[str, str] = {}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny"), min_slices=MIN_SLICES, spacing_mm=(5.0, 6.0, 6.0)))


def test_every_case_is_held_to_an_outcome(cases: Path) -> None:
    assert {path.name for path in cases.iterdir() if path.is_dir()} == {*ACCEPTED, *REFUSED}


@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED])
def test_selection(cases: Path, name: str) -> None:
    _skip_what_is_not_there(cases, name)

    decision = examine_series(
        sorted((cases / name).glob("*.dcm")), route=Route(phase="arterial"), min_slices=MIN_SLICES
    )

    assert decision.code in REFUSED.get(name, {"accepted"}), decision.reason


@pytest.mark.parametrize("name", list(REAL))
def test_translate_takes_or_refuses_real_files(real_data: Path, name: str) -> None:
    """Up to the slices that would be translated; further on ``tests/integration/test_end_to_end.py``."""
    code = "accepted"
    try:
        select_slices(real_data / name, route=Route(phase="arterial"), min_slices=MIN_SLICES)
    except ProblemError as error:
        code = error.code
    assert code == REAL_TRANSLATED.get(name, REAL[name][0])


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


@pytest.mark.parametrize("name", TRANSLATED)
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
