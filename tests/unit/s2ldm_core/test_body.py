"""The box around the body: table and air left out, lungs and cut bodies kept."""

from pathlib import Path

import numpy as np
import pytest

from s2ldm_core.body import body_box, body_footprint, body_mask
from s2ldm_core.io import read_volume

SPACING = (5.0, 2.0, 2.0)


def _scan(centre: tuple[int, int] = (90, 100), radii: tuple[int, int] = (50, 80)) -> np.ndarray:
    """An ellipse of soft tissue with two lungs over a curved table, in ``(6, 200, 200)`` voxels."""
    y, x = np.mgrid[:200, :200]
    plane = np.full((200, 200), -1000.0, dtype=np.float32)
    plane[((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1] = 40.0
    for side in (-35, 35):
        plane[((y - centre[0]) / 25) ** 2 + ((x - centre[1] - side) / 22) ** 2 < 1] = -850.0
    table = np.abs(y - (150 + ((x - 100) / 40) ** 2)) < 2
    plane[table & (np.abs(x - 100) < 80)] = -100.0
    return np.repeat(plane[None], 6, axis=0)


def test_the_box_holds_the_body_with_its_margin_and_not_the_table() -> None:
    depth, height, width = body_box(_scan(), SPACING, margin_mm=10.0)
    assert depth == slice(0, 6)
    assert height.start == pytest.approx(40 - 5, abs=2)
    assert height.stop == pytest.approx(140 + 5, abs=2)
    assert width.start == pytest.approx(20 - 5, abs=2)
    assert width.stop == pytest.approx(180 + 5, abs=2)


def test_the_mask_fills_the_lungs() -> None:
    assert body_mask(_scan(), SPACING)[:, 90, [65, 135]].all()


def test_the_mask_leaves_air_and_table_out() -> None:
    mask = body_mask(_scan(), SPACING)
    assert not mask[:, 10, 10].any()
    assert not mask[:, 150, 100].any()


def test_a_body_cut_by_the_field_of_view_is_kept_to_the_edge() -> None:
    _, _, width = body_box(_scan(radii=(50, 140)), SPACING)
    assert (width.start, width.stop) == (0, 200)


def test_arms_beside_the_trunk_belong_to_the_body() -> None:
    scan = _scan(radii=(50, 60))
    y, x = np.mgrid[:200, :200]
    scan[:, (y - 110) ** 2 + (x - 185) ** 2 < 12**2] = 40.0
    _, _, width = body_box(scan, SPACING, margin_mm=0.0)
    assert width.stop >= 196


def test_padding_is_never_body() -> None:
    scan = _scan()
    padding = np.zeros(scan.shape, dtype=bool)
    padding[:, :, :12] = True
    scan[padding] = 0.0
    _, _, width = body_box(scan, SPACING, padding=padding)
    assert width.start > 12


def test_empty_ends_of_the_stack_are_cut_off() -> None:
    scan = np.concatenate([np.full((10, 200, 200), -1000.0, dtype=np.float32), _scan()])
    depth, _, _ = body_box(scan, SPACING, margin_mm=10.0)
    assert depth == slice(8, 16)


def test_without_a_body_the_whole_array_is_taken() -> None:
    air = np.full((3, 30, 40), -1000.0, dtype=np.float32)
    assert body_box(air, SPACING) == (slice(0, 3), slice(0, 30), slice(0, 40))
    assert not body_mask(air, SPACING).any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 300), (3, 17, 5)])
def test_any_shape_gives_a_box_inside_it(shape: tuple[int, int, int]) -> None:
    box = body_box(np.full(shape, 40.0, dtype=np.float32), (0.9, 3.3, 0.4))
    assert all(0 <= part.start < part.stop <= size for part, size in zip(box, shape, strict=True))


@pytest.mark.real_data
def test_a_real_chest_loses_its_table_and_no_skin(real_data: Path) -> None:
    """GE chest: the table begins about row 390, the skin ends there; the arms are up."""
    volume = read_volume(real_data / "series" / "cect-chest-ge-lungkernel")
    _, height, width = body_box(volume.hu, volume.spacing_mm, padding=volume.padding)
    assert 95 <= height.start <= 130
    assert 390 <= height.stop <= 410
    assert 25 <= width.start <= 50
    assert 450 <= width.stop <= 480


def test_the_footprint_is_the_share_of_slices_with_body_and_a_margin_around_it() -> None:
    hu = _scan()
    hu[3:] = -1000.0
    share = body_footprint(hu, SPACING)
    assert share.shape == (200, 200)
    assert share[90, 100] == share[90, 65] == 0.5  # soft tissue, lung
    assert share[38, 100] > 0  # off the skin, but near
    assert share[28, 100] == share[0, 0] == share[180, 100] == 0


def test_lung_cut_open_by_the_field_of_view_is_in_the_footprint_and_air_is_not() -> None:
    hu = _scan()[:, :, 60:]
    assert not body_mask(hu, SPACING)[:, 90, 0].any()
    assert body_footprint(hu, SPACING)[90, 0] == 1
    assert body_footprint(hu, SPACING)[10, 0] == 0


def test_what_is_dense_is_in_the_footprint_where_nothing_is_large_enough_for_a_body() -> None:
    hu = np.full((1, 40, 40), -1000.0, dtype=np.float32)
    hu[0, :12, :12] = 40.0
    assert body_footprint(hu, SPACING)[4, 4] == 1
    assert body_footprint(hu, SPACING)[30, 30] == 0
