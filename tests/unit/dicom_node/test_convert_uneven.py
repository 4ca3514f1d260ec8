"""Tilted and uneven series through ``s2ldm-node translate``: refused, or back on their own slices."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.convert import translate_path
from dicom_node.derive.marks import Mark
from dicom_node.errors import TranslateError
from tests.ct_series import body_hu
from tests.tiny_model import write_tiny_package

RESAMPLE = {"tilt": "resample", "irregular": "resample"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def leaning(write_ct_series: Any) -> Path:
    """Ten slices, tilted without the tag, the last five twice as far apart as the first."""
    paths = write_ct_series(body_hu(10))
    for index, path in enumerate(paths):
        image = dcmread(path)
        place = 2.0 * index + 2.0 * max(0, index - 5)
        image.ImagePositionPatient = ["-10", f"{-20 + 0.3 * place:.2f}", f"{30 + place:.1f}"]
        image.save_as(path)
    return paths[0].parent


def _translate(source: Path, target: Path, package: str, **options: Any) -> list[Dataset]:
    done = translate_path(
        source, target, phase="arterial", model=package, device="cpu", anatomy="any", mark=Mark.NONE, **options
    )
    return [dcmread(path) for path in done.paths]


def _hu(image: Dataset) -> np.ndarray:
    hu: np.ndarray = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    return hu


def _hold(source: Path, derived: list[Dataset]) -> None:
    """Each derived image lies on its source slice, with its HU of air and bone; something changed elsewhere."""
    sources = {str(one.SOPInstanceUID): one for one in map(dcmread, source.iterdir())}
    assert len(derived) == len(sources)
    changed = 0.0
    for one in derived:
        slice_ = sources.pop(one.SourceImageSequence[0].ReferencedSOPInstanceUID)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            assert one.get_item(keyword).value == slice_.get_item(keyword).value
        hu, change = _hu(slice_), _hu(one) - _hu(slice_)
        scanned = hu > -1100
        assert not change[scanned & ((hu < -300) | (hu > 500))].any()
        changed = max(changed, float(np.abs(change[scanned]).max()))
    assert changed > 0


def test_a_tilted_uneven_series_comes_back_on_its_own_slices(leaning: Path, package: str, tmp_path: Path) -> None:
    _hold(leaning, _translate(leaning, tmp_path / "out", package, **RESAMPLE))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "gantry_tilt"),
        ({"tilt": "resample"}, "irregular_spacing"),
        ({**RESAMPLE, "output_form": "nifti"}, "form_needs_grid"),
    ],
)
def test_what_was_not_asked_for_is_refused(
    leaning: Path, package: str, tmp_path: Path, options: dict[str, Any], code: str
) -> None:
    with pytest.raises(TranslateError) as caught:
        _translate(leaning, tmp_path / "out", package, **options)
    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
def test_a_real_tilted_head_of_two_increments_comes_back_on_its_own_slices(
    real_data: Path, package: str, tmp_path: Path
) -> None:
    """18.5 degrees; 4 mm, one step of 1.08 mm, 7 mm; signed, with padding at -1500."""
    source = real_data / "series" / "ncct-head-ge-tilt"
    _hold(source, _translate(source, tmp_path / "out", package, **RESAMPLE))
