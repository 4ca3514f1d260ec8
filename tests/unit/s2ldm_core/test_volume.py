"""The volume: its grid, its bookkeeping, and turning it exactly there and back."""

import itertools

import numpy as np
import pytest

from s2ldm_core.errors import VolumeError
from s2ldm_core.volume import SliceRecord, Volume, canonical


def _affine(permutation: tuple[int, int, int], signs: tuple[int, int, int], tilt: float = 0.0) -> np.ndarray:
    """Columns i, j, k along the patient axes named, with spacing 2, 3, 5 mm."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (axis, sign) in enumerate(zip(permutation, signs, strict=True)):
        affine[axis, column] = sign * (2.0, 3.0, 5.0)[column]
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (-7.0, 11.0, 13.0)
    return affine


ORIENTATIONS = [
    (permutation, signs)
    for permutation in itertools.permutations((0, 1, 2))
    for signs in itertools.product((-1, 1), repeat=3)
]


def test_spacing_is_the_distance_along_each_array_axis() -> None:
    volume = Volume(hu=np.zeros((3, 4, 5)), affine=_affine((0, 1, 2), (1, -1, 1), tilt=0.2))
    assert volume.spacing_mm == pytest.approx((5.0, 3.0, 2.0))


def test_hu_become_float32() -> None:
    assert Volume(hu=np.zeros((1, 2, 3), dtype=np.int16), affine=np.eye(4)).hu.dtype == np.float32


@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_canonical_keeps_every_voxel_at_its_place_in_the_patient(
    permutation: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    hu = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    volume = Volume(hu=hu, affine=_affine(permutation, signs, tilt=0.3))
    turned, _ = canonical(volume)
    for value in (0, 5, 23):
        places = []
        for grid in (volume, turned):
            k, j, i = np.argwhere(grid.hu == value)[0]
            places.append(grid.affine @ [i, j, k, 1])
        assert places[0] == pytest.approx(places[1])


@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_canonical_axes_point_to_superior_posterior_and_left(
    permutation: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    turned, _ = canonical(Volume(hu=np.zeros((2, 3, 4)), affine=_affine(permutation, signs, tilt=0.3)))
    matrix = turned.affine[:3, :3] / np.linalg.norm(turned.affine[:3, :3], axis=0)
    assert np.all(np.diag(matrix) > 0.9)


@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_undo_restores_the_source_exactly(permutation: tuple[int, int, int], signs: tuple[int, int, int]) -> None:
    hu = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    volume = Volume(hu=hu, affine=_affine(permutation, signs), padding=hu > 1)
    turned, undo = canonical(volume)
    restored = undo.volume(turned)
    assert np.array_equal(restored.hu, hu)
    assert np.array_equal(restored.affine, volume.affine)
    assert turned.padding is not None
    assert np.array_equal(undo.array(turned.padding), volume.padding)


def test_canonical_turns_slice_records_with_the_slices() -> None:
    records = tuple(SliceRecord(sop_instance_uid=f"1.{k}", position_mm=(0.0, 0.0, -float(k))) for k in range(3))
    turned, _ = canonical(Volume(hu=np.zeros((3, 2, 2)), affine=np.diag([1.0, 1, -1, 1]), slices=records))
    assert [record.sop_instance_uid for record in turned.slices] == ["1.2", "1.1", "1.0"]


def test_with_hu_keeps_the_grid() -> None:
    volume = Volume(hu=np.zeros((1, 2, 3)), affine=np.eye(4), frame_of_reference_uid="1.2")
    other = volume.with_hu(np.ones((1, 2, 3)))
    assert other.frame_of_reference_uid == "1.2"
    assert other.hu.min() == 1


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"hu": np.zeros((2, 2))}, "volume_shape"),
        ({"hu": np.zeros((0, 2, 2))}, "volume_shape"),
        ({"affine": np.zeros((4, 4))}, "volume_affine"),
        ({"affine": np.full((4, 4), np.nan)}, "volume_affine"),
        ({"slices": (SliceRecord(position_mm=(0, 0, 0)),)}, "volume_shape"),
        ({"padding": np.zeros((1, 1, 1), dtype=bool)}, "volume_shape"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, object], code: str) -> None:
    with pytest.raises(VolumeError) as caught:
        Volume(**{"hu": np.zeros((2, 2, 2)), "affine": np.eye(4), **parts})
    assert caught.value.code == code


def test_with_hu_refuses_another_shape() -> None:
    with pytest.raises(VolumeError, match="volume_shape"):
        Volume(hu=np.zeros((2, 2, 2)), affine=np.eye(4)).with_hu(np.zeros((2, 2, 3)))
