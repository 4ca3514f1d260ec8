import numpy as np
import pytest

from s2ldm_core.hounsfield.landmarks import slice_values


def blocks(*values: tuple[float, int]) -> np.ndarray:
    """A slice with so many rows of 100 pixels of each value, and 5 HU of noise."""
    rows = np.concatenate([np.full((count, 100), value) for value, count in values])
    return rows + np.random.default_rng(0).normal(0, 5, rows.shape)


def test_air_fat_and_soft_tissue_are_found_where_they_lie() -> None:
    values = slice_values(blocks((-1000, 50), (-100, 20), (45, 28), (900, 2)))

    assert values is not None
    assert values.peaks == pytest.approx((-1000, -100, 45), abs=8)
    assert (values.air_hu, values.fat_hu, values.soft_hu) == pytest.approx((-1000, -100, 45), abs=4)
    assert (values.air, values.fat, values.soft, values.dense) == (0.5, 0.2, 0.28, 0.02)
    assert values.tissue == pytest.approx(0.5)


@pytest.mark.parametrize("padding", [-1500, -2000, -3024, -32768])
def test_padding_is_no_measurement(padding: float) -> None:
    with_padding = slice_values(np.concatenate([np.full((60, 100), padding), blocks((-1000, 20), (45, 20))]))

    assert with_padding == slice_values(blocks((-1000, 20), (45, 20)))


@pytest.mark.parametrize(("rows", "is_peak"), [(6, False), (9, True)])
def test_a_tissue_peak_holds_a_seventh_of_what_is_not_background(rows: int, is_peak: bool) -> None:
    values = slice_values(blocks((-1000, 50), (45, 50 - rows), (300, rows)))

    assert values is not None
    assert values.peaks == pytest.approx((-1000, 45, 300) if is_peak else (-1000, 45), abs=8)


@pytest.mark.parametrize(("rows", "background"), [(7, 45), (9, -1000)])
def test_the_background_holds_a_twelfth_of_the_slice(rows: int, background: float) -> None:
    values = slice_values(blocks((-1000, rows), (45, 100 - rows)))

    assert values is not None
    assert values.background == pytest.approx(background, abs=8)


def test_lung_is_between_air_and_tissue() -> None:
    values = slice_values(blocks((-840, 40), (-860, 30), (-260, 10), (-240, 20)))

    assert values is not None
    assert (values.air, values.lung) == pytest.approx((0.3, 0.5), abs=0.03)


def test_saturation_is_what_has_the_highest_value_beside_one_pixel() -> None:
    plane = np.full((40, 50), 40.0)
    plane[0, :21] = 1016.0

    values = slice_values(plane)

    assert values is not None
    assert values.saturated == pytest.approx(20 / 2000)


def test_values_above_12_bits_are_counted() -> None:
    values = slice_values(blocks((45, 90), (3090, 5), (3150, 5)))

    assert values is not None
    assert values.above == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("inside", "outside", "share"),
    [
        (-140, -160, "fat"),
        (-60, -45, "fat"),
        (-45, -60, "soft"),
        (150, 170, "soft"),
        (310, 290, "dense"),
    ],
)
def test_tissues_lie_between_their_limits(inside: float, outside: float, share: str) -> None:
    plane = np.full((40, 50), -1000.0)
    plane[:, :10], plane[:, 10:20] = inside, outside

    assert getattr(slice_values(plane), share) == pytest.approx(0.2)


def test_values_down_to_1100_below_water_are_measured() -> None:
    plane = np.full((40, 50), 45.0)
    plane[:20], plane[:5] = -1090.0, -1110.0

    values = slice_values(plane)

    assert values is not None
    assert values.air == pytest.approx(15 / 35)


def test_the_highest_value_may_differ_by_two_thousandths_of_the_range() -> None:
    plane = np.full((40, 50), 40.0)
    plane[0, :11] = 1000.0
    plane[1, :10], plane[2, :10], plane[3, 0] = 1000 - 1.7, 1000 - 2.2, 0.0

    values = slice_values(plane)

    assert values is not None
    assert values.saturated == pytest.approx(20 / 2000)


def test_tissue_begins_a_seventh_of_the_range_above_the_background() -> None:
    values = slice_values(blocks((-1000, 50), (-870, 10), (-800, 10), (45, 30)))

    assert values is not None
    assert values.peaks == pytest.approx((-1000, -800, 45), abs=10)


@pytest.mark.parametrize("plane", [np.full((20, 20), -2000.0), np.full((20, 20), 7.0), np.full((20, 20), np.nan)])
def test_a_slice_of_one_value_shows_nothing(plane: np.ndarray) -> None:
    assert slice_values(plane) is None
