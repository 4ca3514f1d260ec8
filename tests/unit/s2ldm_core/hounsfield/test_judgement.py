"""A made-up body (air, fat, soft tissue, lung, bone) in Hounsfield units and in units that went wrong."""

import re
from pathlib import Path

import numpy as np
import pytest

from s2ldm_core.hounsfield import judge_hounsfield
from tests.units_gone_wrong import UNITS


def body(*, slices: int = 6, noise_hu: float = 12.0, size: int = 96) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size - 0.5
    plane = np.full((size, size), -1000.0)
    plane[(x / 0.46) ** 2 + (y / 0.36) ** 2 < 1] = -100.0
    plane[(x / 0.4) ** 2 + (y / 0.3) ** 2 < 1] = 45.0
    plane[((x - 0.15) / 0.1) ** 2 + ((y + 0.05) / 0.12) ** 2 < 1] = -850.0
    plane[(x / 0.07) ** 2 + ((y - 0.18) / 0.07) ** 2 < 1] = 250.0
    plane[(x / 0.03) ** 2 + ((y - 0.18) / 0.03) ** 2 < 1] = 900.0
    noise = np.random.default_rng(0).normal(0, noise_hu, (slices, size, size))
    return np.maximum(plane + noise, -1024.0).astype(np.float32)


@pytest.mark.parametrize("noise_hu", [2.0, 12.0, 50.0])
def test_a_body_in_hu_is_accepted(noise_hu: float) -> None:
    judgement = judge_hounsfield(body(noise_hu=noise_hu))

    assert judgement.problem is None
    assert judgement.suspects == ()
    assert judgement.air_hu == pytest.approx(-1000, abs=25)
    assert judgement.fat_hu == pytest.approx(-100, abs=25)
    assert judgement.soft_hu == pytest.approx(45, abs=25)


@pytest.mark.parametrize("padding", [-1024, -2000, -3024])
def test_padding_around_the_field_does_not_matter(padding: float) -> None:
    hu = body()
    y, x = np.mgrid[: hu.shape[1], : hu.shape[2]] - hu.shape[1] / 2
    hu[:, y**2 + x**2 > (hu.shape[1] / 2) ** 2] = padding

    assert judge_hounsfield(hu).problem is None


def test_an_abdomen_that_fills_the_field_is_accepted() -> None:
    assert judge_hounsfield(body()[:, 30:66, 24:72]).problem is None


def test_water_is_in_hounsfield_units() -> None:
    y, x = np.mgrid[-48:48, -48:48]
    hu = np.where(y**2 + x**2 < 40**2, 0.0, -1000.0) + np.random.default_rng(0).normal(0, 5, (3, 96, 96))

    assert judge_hounsfield(hu).problem is None


def test_metal_is_accepted() -> None:
    hu = body()
    hu[:, 40:44, 40:44] = 12000.0

    assert judge_hounsfield(hu).problem is None


@pytest.mark.parametrize("name", UNITS)
def test_other_units_are_found(name: str) -> None:
    judgement = judge_hounsfield(UNITS[name](body().astype(np.float64)))

    assert judgement.problem is not None
    assert judgement.problem.code == "not_hounsfield"
    assert judgement.problem.remedy


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("intercept lost", r"air lies at 2\d and soft tissue at 10\d\d: the rescale intercept is missing"),
        ("8 bits, soft window", "between 0 and 255: grey values of a window"),
        ("8 bits, intercept -1024", "nothing where soft tissue"),
        ("8 bits, slope 8, intercept -1024", "has the highest value: grey values of a window"),
        ("negated", r"air lies at 1\d\d\d and tissue around .*: the sign is turned"),
        ("times 16, unsigned", "lie above 3100 HU .*bits are shifted"),
        ("through 16, signed", "hardly below tissue: bits are shifted"),
        ("attenuation per cm", "maps of attenuation"),
        ("MR", "nothing lies below zero"),
    ],
)
def test_the_sentence_says_what_was_seen(name: str, words: str) -> None:
    problem = judge_hounsfield(UNITS[name](body().astype(np.float64))).problem

    assert problem is not None
    assert re.search(words, problem.sentence), problem.sentence


@pytest.mark.parametrize(
    "name", ["intercept lost", "8 bits, soft window", "through 16, unsigned", "attenuation per cm", "negated"]
)
def test_single_slices_in_other_units_are_named(name: str) -> None:
    hu = body(slices=8).astype(np.float64)
    hu[[2, 5]] = UNITS[name](hu[[2, 5]])

    judgement = judge_hounsfield(hu)

    assert judgement.suspects == (2, 5)
    assert judgement.problem is not None
    assert judgement.problem.code == "mixed_units"
    assert "Of 8 slices along the normal, 2 slices (3, 6)" in judgement.problem.sentence


def test_half_of_the_slices_in_other_units_make_it_the_series() -> None:
    hu = body(slices=8)
    hu[:4] += 1024
    more = judge_hounsfield(hu).problem
    hu[3] -= 1024
    fewer = judge_hounsfield(hu).problem

    assert more is not None
    assert fewer is not None
    assert (more.code, fewer.code) == ("not_hounsfield", "mixed_units")


def test_air_beyond_the_body_is_no_other_unit() -> None:
    hu = body(slices=8)
    hu[[0, 1, 7]] = -1000.0 + np.random.default_rng(0).normal(0, 8, (3, 96, 96))

    assert judge_hounsfield(hu).problem is None


def test_a_doubtful_slice_among_good_ones_is_let_pass() -> None:
    hu = body(slices=8)
    hu[7] = np.where(hu[7] > -300, 700.0 + 30 * np.random.default_rng(0).normal(0, 5, hu[7].shape), hu[7])

    judgement = judge_hounsfield(hu)

    assert judgement.findings[7] is not None
    assert judgement.problem is None


def test_a_series_of_padding_only_is_not_in_hu() -> None:
    problem = judge_hounsfield(np.full((3, 20, 20), -2000.0)).problem

    assert problem is not None
    assert "all pixels have the same value or are padding" in problem.sentence


@pytest.mark.real_data
def test_every_real_series_is_accepted_and_every_other_unit_found(real_data: Path) -> None:
    """Specificity on the real series and slices, sensitivity on the same in other units; see docs/regions.md."""
    from train.regions.evaluation import wilson
    from train.regions.real import real_series

    missed, found = [], 0
    for use in ("train", "test"):
        for series in real_series(real_data, use=use):
            hu = series.hu[:: max(1, len(series.hu) // 4)]
            assert judge_hounsfield(hu).problem is None, series.name
            for name, unit in UNITS.items():
                if judge_hounsfield(unit(hu.astype(np.float64))).problem is None:
                    missed.append((series.name, name))
                else:
                    found += 1

    # On a few single slices: a window stretched until it spans the range of HU, and fields without air.
    doubtful = {"8 bits of a bone window, slope 8", "8 bits, slope 8, intercept -1024", "attenuation times 1000"}
    assert {name for _, name in missed} <= doubtful, missed
    assert wilson(found, found + len(missed))[0] > 0.97, missed
