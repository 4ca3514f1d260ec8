"""Tilted and uneven stacks: where their slices are taken to lie, and that the change comes back onto them.

Known truth throughout: values that are linear in patient coordinates, and a phantom whose straight stack is translated
beside the same voxels stacked otherwise.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from s2ldm_core import Translator, Volume
from s2ldm_core.errors import GeometryError
from s2ldm_core.geometry import series_geometry
from s2ldm_core.handling import StackHandling
from s2ldm_core.offsets import SliceOffsets
from s2ldm_core.resample import from_spacing, resample, to_spacing
from s2ldm_core.volume import canonical

BOTH = StackHandling(tilt="resample", irregular="resample")
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
#: A real gantry tilt of 18.5 degrees.
GANTRY = (1.0, 0.0, 0.0, 0.0, 0.9483237, -0.3173047)
PLACES = [0.0, 4.0, 8.0, 9.1, 16.1, 23.1, 30.1]


def _headers(along: list[float], *, orientation: tuple[float, ...], lean: tuple[float, float] = (0.0, 0.0)) -> Any:
    """Headers at these places along the normal; ``lean`` is the shift down the columns and along the rows per mm."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    direction = np.cross(row, column) + lean[0] * column + lean[1] * row
    headers = []
    for place in along:
        header = Dataset()
        header.ImagePositionPatient = [f"{v:.5f}" for v in direction * place + np.array([-20.0, 7.0, 100.0])]
        header.ImageOrientationPatient = list(orientation)
        header.PixelSpacing = [0.8, 0.5]
        header.Rows, header.Columns = 100, 120
        headers.append(header)
    return headers


def _voxels(geometry: Any) -> np.ndarray:
    """``(D, H, W, 3)`` LPS mm of every voxel, from the headers' own positions (PS3.3 equation C.7.6.2.1-1)."""
    _, rows, columns = geometry.shape
    j, i = np.mgrid[:rows, :columns]
    in_plane = j[..., None] * geometry.affine[:3, 1] + i[..., None] * geometry.affine[:3, 0]
    return np.array(geometry.positions_mm)[:, None, None, :] + in_plane


def _linear(points: np.ndarray) -> np.ndarray:
    return points @ np.array([0.7, -1.3, 2.1]) + 5.0


@pytest.mark.parametrize(
    ("along", "orientation", "lean"),
    [
        (PLACES, AXIAL, (0.0, 0.0)),
        ([3.0 * k for k in range(8)], GANTRY, (-0.3346, 0.0)),
        (PLACES, GANTRY, (-0.3346, 0.0)),
        (PLACES, (1, 0, 0, 0, 0, -1), (0.2, 0.1)),
        (PLACES, (0, 1, 0, 0, 0, -1), (0.0, 0.3)),
    ],
)
def test_values_linear_in_the_patient_pass_to_a_straight_grid_and_back(along: Any, orientation: Any, lean: Any) -> None:
    geometry = series_geometry(_headers(along, orientation=orientation, lean=lean), handling=BOTH)
    values = _linear(_voxels(geometry)).astype(np.float32)
    volume = Volume(hu=values, affine=geometry.affine, offsets=geometry.offsets)
    turned, undo = canonical(volume)

    straight, _ = resample(turned, (1.7, 1.1, 0.9))
    hu, grid = to_spacing(turned.hu, turned.spacing_mm, (1.7, 1.1, 0.9), offsets=turned.offsets)
    halves = (0, turned.shape[0] // 2, turned.shape[0])
    parts = [from_spacing(hu, grid.part(*one), method="linear") for one in pairwise(halves)]
    back = undo.array(np.concatenate(parts))

    assert straight.offsets is None
    index = np.stack(np.meshgrid(*map(np.arange, straight.shape[::-1]), indexing="ij"), axis=-1).transpose(2, 1, 0, 3)
    truth = _linear(index @ straight.affine[:3, :3].T + straight.affine[:3, 3])
    right = np.abs(straight.hu - truth) < 1e-2
    # Beyond the stack's edges the outermost voxel continues; a lean leaves more of that.
    assert right.mean() > 0.5
    middle = tuple(slice(size // 2 - 1, size // 2 + 1) for size in right.shape)
    assert right[middle].all()
    inside = (slice(None), slice(10, -10), slice(10, -10))
    assert np.abs(back - values)[inside][1:-1].max() < 1e-2


@pytest.mark.parametrize(
    ("lean", "along", "code"),
    [((-0.3346, 0.0), PLACES, "gantry_tilt"), ((0.0, 0.0), PLACES, "irregular_spacing")],
)
def test_unless_asked_for_they_are_refused_with_the_way_out(lean: Any, along: Any, code: str) -> None:
    with pytest.raises(GeometryError) as caught:
        series_geometry(_headers(along, orientation=GANTRY, lean=lean))
    assert caught.value.code == code
    assert "resample" in caught.value.remedy


@pytest.mark.parametrize(
    ("along", "lean", "code"),
    [
        ([0.0, 3.0, 6.0, 9.0, 22.0, 25.0, 28.0], (0.0, 0.0), "missing_slices"),
        ([0.0, 3.0, 3.0, 7.0, 10.0], (0.0, 0.0), "duplicate_positions"),
        ([0.0, 3.0, 6.0, 9.0, 12.0], (1.2, 0.0), "gantry_tilt"),
    ],
)
def test_what_no_resampling_mends_stays_refused(along: Any, lean: Any, code: str) -> None:
    with pytest.raises(GeometryError) as caught:
        series_geometry(_headers(along, orientation=AXIAL, lean=lean), handling=BOTH)
    assert caught.value.code == code


def test_a_slice_pushed_sideways_in_a_tilted_stack_is_found() -> None:
    headers = _headers([3.0 * k for k in range(8)], orientation=AXIAL, lean=(-0.3, 0.0))
    headers[4].ImagePositionPatient[0] += 1.0
    with pytest.raises(GeometryError) as caught:
        series_geometry(headers, handling=BOTH)
    assert caught.value.code == "shifted_slices"


def test_a_regular_stack_has_no_offsets_whatever_is_asked_for() -> None:
    assert series_geometry(_headers([3.0 * k for k in range(8)], orientation=AXIAL), handling=BOTH).offsets is None


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.load("demo", device="cpu")


@pytest.fixture(scope="module")
def phantom(translator: Translator) -> tuple[Volume, np.ndarray]:
    """A native phantom, and the change that its straight stack gets."""
    from s2ldm_core.phantom import Phantom

    made = Phantom(seed=20_001, matrix=(128, 128), slices=16, region="abdomen")
    straight = Volume(hu=np.rint(made.hu("native", noise_seed=0)), affine=made.affine)
    return straight, translator.translate(straight, phase="arterial").volume.hu - straight.hu


def _untouched(source: np.ndarray) -> np.ndarray:
    return (source < -300) | (source > 500)


def _mean_error(difference: np.ndarray, source: np.ndarray) -> float:
    body = (source > -200) & (source < 300)
    return float(np.abs(difference[body]).mean())


def test_a_sheared_phantom_gets_the_change_of_the_straight_one(
    translator: Translator, phantom: tuple[Volume, np.ndarray]
) -> None:
    """Sheared by whole pixels, so that not one voxel is interpolated on the way to the two stacks."""
    straight, change = phantom
    depth, height, _ = straight.shape
    starts = np.arange(depth)[::-1]
    hu = np.full((depth, height + depth - 1, straight.shape[2]), -1000.0, dtype=np.float32)
    for index, start in enumerate(starts):
        hu[index, start : start + height] = straight.hu[index]
    mm = np.zeros((depth, 3))
    mm[:, 1] = np.arange(depth) * straight.spacing_mm[1]
    sheared = Volume(hu=hu, affine=straight.affine, offsets=SliceOffsets(mm=mm))

    result = translator.translate(sheared, phase="arterial").volume

    found = np.stack([(result.hu - hu)[k, start : start + height] for k, start in enumerate(starts)])
    assert np.abs(change).max() > 50
    assert _mean_error(found - change, straight.hu) < 2.0
    assert np.array_equal(result.hu[_untouched(hu)], hu[_untouched(hu)])
    assert result.offsets is sheared.offsets


def test_an_uneven_phantom_gets_the_change_of_the_even_one(
    translator: Translator, phantom: tuple[Volume, np.ndarray]
) -> None:
    """Two increments with an overlap between: slices left out of the straight stack."""
    straight, change = phantom
    kept = np.array([*range(8), *range(9, 16, 2)])
    places = kept * straight.spacing_mm[0]
    step = float(places[-1] - places[0]) / (len(kept) - 1)
    mm = np.zeros((len(kept), 3))
    mm[:, 0] = places - places[0] - np.arange(len(kept)) * step
    affine = straight.affine.copy()
    affine[:3, 2] *= step / straight.spacing_mm[0]
    uneven = Volume(hu=straight.hu[kept], affine=affine, offsets=SliceOffsets(mm=mm))

    result = translator.translate(uneven, phase="arterial").volume

    assert _mean_error(result.hu - uneven.hu - change[kept], uneven.hu) < 2.0
    assert np.array_equal(result.hu[_untouched(uneven.hu)], uneven.hu[_untouched(uneven.hu)])
