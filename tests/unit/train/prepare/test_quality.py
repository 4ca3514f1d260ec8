"""Measures of how two images of a patient lie on each other."""

import math
from dataclasses import replace

import numpy as np
import pytest

from train.prepare.quality import Blood, Fit, Quality, boundary_error_mm, fit, mutual_information, refusal

GOOD = Quality(
    before=Fit(mutual_information=0.8, fat_hu=30.0, bone_edge_hu=90.0),
    after=Fit(mutual_information=1.0, fat_hu=20.0, bone_edge_hu=60.0),
    folding=0.0,
    largest_mm=8.0,
    edges=0.8,
    blood=Blood(cm2=12.0, slices=1.0, change_hu=180.0, hu=220.0),
    covered=1.0,
    boundary_mm={"liver": (4.0, 1.0)},
)


def test_mutual_information_of_an_image_with_itself_is_its_entropy() -> None:
    values = np.repeat([-190.0, -50.0, 90.0, 280.0], 100)
    assert mutual_information(values, values) == pytest.approx(math.log(4))


def test_mutual_information_does_not_mind_which_grey_means_what() -> None:
    values = np.repeat([-190.0, -50.0, 90.0, 280.0], 100)
    assert mutual_information(values, -values + 50) == pytest.approx(math.log(4))


def test_mutual_information_of_independent_images_is_zero() -> None:
    one, other = np.repeat([0.0, 100.0], 50), np.tile([0.0, 100.0], 50)
    assert mutual_information(one, other) == pytest.approx(0.0, abs=1e-12)


def test_mutual_information_of_a_known_joint_distribution() -> None:
    one = np.array([0.0] * 40 + [0.0] * 10 + [100.0] * 10 + [100.0] * 40)
    other = np.array([0.0] * 40 + [100.0] * 10 + [0.0] * 10 + [100.0] * 40)
    assert mutual_information(one, other) == pytest.approx(0.8 * math.log(1.6) + 0.2 * math.log(0.4))


def test_boundary_error_of_parallel_planes_is_their_distance() -> None:
    one, two = np.zeros((12, 30, 30), bool), np.zeros((12, 30, 30), bool)
    one[4], two[7] = True, True
    assert boundary_error_mm(one, two, spacing_mm=(2.5, 1.0, 1.0)) == pytest.approx(7.5)


def test_boundary_error_without_an_organ_is_not_a_number() -> None:
    assert math.isnan(
        boundary_error_mm(np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool), spacing_mm=(1.0, 1.0, 1.0))
    )


def test_fat_and_bone_edges_measure_what_differs_there() -> None:
    native = np.full((12, 60, 60), -1000.0, np.float32)
    native[:, 10:50, 10:50] = -105.0
    native[:, 25:35, 25:35] = 600.0
    contrast = native.copy()
    contrast[native == -105.0] += 12.0
    contrast[native == 600.0] -= 50.0
    found = fit(native, contrast, spacing_mm=(3.0, 3.0, 3.0), where=np.ones(native.shape, bool))
    assert found.fat_hu == pytest.approx(12.0)
    assert found.bone_edge_hu in (12.0, 50.0)


def test_a_good_pair_is_not_refused() -> None:
    assert refusal(GOOD) is None


def test_less_mutual_information_alone_is_interpolation_and_no_reason() -> None:
    assert refusal(replace(GOOD, after=replace(GOOD.after, mutual_information=0.7))) is None


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("misaligned_fat", {"after": replace(GOOD.after, fat_hu=60.0)}),
        ("misaligned_bone", {"after": replace(GOOD.after, bone_edge_hu=250.0)}),
        ("registration_worse", {"after": replace(GOOD.after, mutual_information=0.7, fat_hu=42.0)}),
        ("folding", {"folding": 0.05}),
        ("short_coverage", {"covered": 0.3}),
        ("not_enhanced", {"blood": Blood(cm2=0.2, slices=0.1, change_hu=60.0, hu=110.0)}),
        ("misaligned_edges", {"edges": 0.3}),
        ("misaligned_edges", {"edges": float("nan")}),
        ("not_enhanced", {"blood": Blood(cm2=float("nan"), slices=1.0, change_hu=0.0, hu=0.0)}),
        ("short_coverage", {"covered": float("nan")}),
        ("folding", {"folding": float("nan")}),
        ("fit_unmeasured", {"after": replace(GOOD.after, mutual_information=float("nan"))}),
        ("fit_unmeasured", {"after": replace(GOOD.after, fat_hu=float("nan"), bone_edge_hu=float("nan"))}),
    ],
)
def test_a_bad_pair_is_refused_with_its_reason(code: str, change: dict[str, object]) -> None:
    refused = refusal(replace(GOOD, **change))
    assert refused is not None
    assert refused.code == code


def test_the_record_says_by_how_much_boundary_errors_fall_and_has_no_nan() -> None:
    record = replace(GOOD, after=replace(GOOD.after, fat_hu=float("nan"))).record()
    assert record["boundary_error_falls"] == {"liver": 0.75}
    assert record["after"]["fat_hu"] is None
