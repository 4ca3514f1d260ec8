"""Series of other shapes than a chest's 512 x 512 axial slices, through ``s2ldm-node translate``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.convert import translate_path
from dicom_node.derive.marks import Mark
from dicom_node.errors import TranslateError
from s2ldm_core.io import read_volume
from s2ldm_core.phantom import Phantom
from s2ldm_core.volume import canonical
from tests.ct_series import body_hu
from tests.tiny_model import write_tiny_package

SPACING_MM = (4.0, 4.0, 4.0)
#: Row and column cosines, and how the slices are cut out of a volume whose axes run up, back and left.
PLANES: dict[str, tuple[tuple[int, ...], Any]] = {
    "axial": ((1, 0, 0, 0, 1, 0), lambda hu: hu),
    "coronal": ((1, 0, 0, 0, 0, -1), lambda hu: hu[::-1].transpose(1, 0, 2)),
    "sagittal": ((0, 1, 0, 0, 0, -1), lambda hu: hu[::-1, :, ::-1].transpose(2, 0, 1)),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def torso() -> np.ndarray:
    phantom = Phantom(seed=20_001, matrix=(96, 96), slices=24, spacing_mm=SPACING_MM, region="abdomen")
    return np.clip(np.rint(phantom.hu("native", noise_seed=0)), -1000, 3000)


def _derived(source: Path, target: Path, package: str) -> list[Path]:
    done = translate_path(source, target, phase="arterial", model=package, device="cpu", mark=Mark.NONE)
    return list(done.paths)


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_slices_acquired_in_another_plane_get_the_change_of_axial_ones(
    write_ct_series: Any, torso: np.ndarray, package: str, tmp_path: Path, plane: str
) -> None:
    found = {}
    for name in ("axial", plane):
        cosines, cut = PLANES[name]
        paths = write_ct_series(cut(torso), folder=name, spacing_mm=SPACING_MM, orientation=cosines)
        derived = _derived(paths[0].parent, tmp_path / f"{name} out", package)
        by_place = {tuple(one.ImagePositionPatient) for one in map(dcmread, derived)}
        assert by_place == {tuple(one.ImagePositionPatient) for one in map(dcmread, paths)}
        found[name] = canonical(read_volume(derived))[0].hu
    assert np.abs(found["axial"] - torso).max() > 5
    assert np.abs(found[plane] - found["axial"]).max() <= 1.0


def test_a_coronal_slice_in_other_units_is_still_found(
    write_ct_series: Any, torso: np.ndarray, package: str, tmp_path: Path
) -> None:
    cosines, cut = PLANES["coronal"]
    hu = cut(torso).copy()
    hu[50:53] += 1024.0
    paths = write_ct_series(hu, spacing_mm=SPACING_MM, orientation=cosines)
    with pytest.raises(TranslateError) as caught:
        _derived(paths[0].parent, tmp_path / "out", package)
    assert caught.value.code == "mixed_units"
    assert "(50, 51, 52)" in caught.value.sentence or "(51, 52, 53)" in caught.value.sentence


def test_overlapping_slices_are_translated(write_ct_series: Any, package: str, tmp_path: Path) -> None:
    """5 mm thick, 2 mm apart."""
    paths = write_ct_series(body_hu(10), spacing_mm=(2.0, 1.0, 1.0), SliceThickness="5")
    done = translate_path(
        paths[0].parent, tmp_path / "out", phase="arterial", model=package, device="cpu", anatomy="any"
    )
    assert {str(dcmread(path).SliceThickness) for path in done.paths} == {"5"}
    assert len(done.paths) == len(paths)
