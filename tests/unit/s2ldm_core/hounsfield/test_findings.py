"""Each rule about a slice, on both sides of its threshold."""

from dataclasses import replace

import pytest

from s2ldm_core.hounsfield import Finding
from s2ldm_core.hounsfield.findings import finding
from s2ldm_core.hounsfield.landmarks import SliceValues

HU = SliceValues(
    low=-1020.0, high=600.0, least=-1024.0, peaks=(-1000.0, -100.0, 45.0), air_hu=-1000.0, fat_hu=-100.0, soft_hu=45.0,
    air=0.5, lung=0.1, fat=0.1, soft=0.25, dense=0.05, above=0.0, saturated=0.0,
)  # fmt: skip
CROP = replace(HU, low=-130.0, least=-200.0, air=0.0, lung=0.0, air_hu=None)


def test_a_slice_in_hu_has_no_finding() -> None:
    assert finding(HU) is None
    assert finding(replace(CROP, peaks=(-100.0, 45.0))) is None


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        (replace(CROP, low=20.0, high=36.0, peaks=()), replace(CROP, low=20.0, high=34.0, peaks=()), Finding.FLAT),
        (replace(HU, above=0.015), replace(HU, above=0.025), Finding.ABOVE),
        (replace(HU, air=0.875, dense=0.0), replace(HU, air=0.885, dense=0.0), Finding.NO_TISSUE),
        (replace(HU, peaks=(-510.0, 45.0)), replace(HU, peaks=(-490.0, 45.0)), Finding.PEAK),
        (replace(HU, peaks=(-1000.0, -145.0)), replace(HU, peaks=(-1000.0, -155.0)), Finding.PEAK),
        (
            replace(CROP, low=-40.0, least=-45.0, peaks=(45.0, 295.0)),
            replace(CROP, low=-40.0, least=-45.0, peaks=(45.0, 305.0)),
            Finding.PEAK,
        ),
        (replace(HU, peaks=(45.0, 790.0)), replace(HU, peaks=(45.0, 810.0)), Finding.PEAK),
        (
            replace(CROP, low=-55.0, peaks=(45.0, 500.0)),
            replace(CROP, low=-45.0, peaks=(45.0, 500.0)),
            Finding.PEAK,
        ),
        (
            replace(CROP, low=-25.0, high=275.0, least=-30.0, peaks=(-20.0, 150.0)),
            replace(CROP, low=-15.0, high=285.0, least=-30.0, peaks=(-10.0, 150.0)),
            Finding.ZERO,
        ),
        (  # background no wider than 3 % of the range
            replace(CROP, low=0.0, high=1000.0, least=-5.0, peaks=(32.0,)),
            replace(CROP, low=0.0, high=1000.0, least=-5.0, peaks=(28.0,)),
            Finding.ZERO,
        ),
        (
            replace(CROP, low=10.0, high=111.0, least=5.0, peaks=(12.0, 60.0)),
            replace(CROP, low=10.0, high=113.0, least=5.0, peaks=(12.0, 60.0)),
            Finding.ZERO,
        ),
        (
            replace(CROP, low=95.0, least=90.0, high=280.0, peaks=(150.0,)),
            replace(CROP, low=105.0, least=100.0, high=280.0, peaks=(150.0,)),
            Finding.ZERO,
        ),
        (
            replace(CROP, low=1.0, least=2.5, high=250.0, peaks=(90.0,)),
            replace(CROP, low=1.0, least=1.5, high=250.0, peaks=(90.0,)),
            Finding.ZERO,
        ),
        (
            replace(CROP, low=1.0, least=-0.5, high=250.0, peaks=(90.0,)),
            replace(CROP, low=1.0, least=0.0, high=250.0, peaks=(90.0,)),
            Finding.ZERO,
        ),
        (
            replace(CROP, low=1.0, least=0.0, high=145.0, peaks=(90.0,)),
            replace(CROP, low=1.0, least=0.0, high=155.0, peaks=(90.0,)),
            Finding.ZERO,
        ),
        (
            replace(CROP, low=1.0, least=0.0, high=257.0, peaks=(90.0,)),
            replace(CROP, low=1.0, least=0.0, high=255.0, peaks=(90.0,)),
            Finding.ZERO,
        ),
        (replace(CROP, peaks=(-60.0, 35.0)), replace(CROP, peaks=(-60.0, 25.0)), Finding.SQUEEZED),
        (replace(CROP, peaks=(-45.0, 20.0)), replace(CROP, peaks=(-55.0, 20.0)), Finding.SQUEEZED),
        (replace(HU, peaks=(-1000.0, -900.0)), replace(CROP, peaks=(-145.0, -60.0)), Finding.SQUEEZED),
        (
            replace(CROP, low=-60.0, high=60.0, peaks=(14.0,)),
            replace(CROP, low=-60.0, high=60.0, peaks=(10.0,)),
            Finding.WATERY,
        ),
        (
            replace(CROP, low=-70.0, high=60.0, peaks=(3.0,)),
            replace(CROP, low=-62.0, high=60.0, peaks=(3.0,)),
            Finding.WATERY,
        ),
        (
            replace(CROP, low=-60.0, high=135.0, peaks=(3.0,)),
            replace(CROP, low=-60.0, high=125.0, peaks=(3.0,)),
            Finding.WATERY,
        ),
        (replace(HU, saturated=0.025), replace(HU, saturated=0.035), Finding.SATURATED),
        (replace(HU, dense=0.19), replace(HU, dense=0.21), Finding.DENSE),
    ],
)
def test_a_rule_holds_from_its_threshold_on(good: SliceValues, bad: SliceValues, expected: Finding) -> None:
    assert finding(good) is None
    assert finding(bad) is expected


def test_one_slice_is_enough_for_what_no_ct_shows() -> None:
    certain = {one for one in Finding if one.certain}

    assert certain == {Finding.ZERO, Finding.ABOVE, Finding.PEAK, Finding.SQUEEZED, Finding.SATURATED}
