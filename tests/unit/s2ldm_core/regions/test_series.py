from pathlib import Path

import numpy as np
import pytest

from s2ldm_core.phantom import Phantom
from s2ldm_core.regions import REGIONS, judge_regions
from s2ldm_core.regions.classifier import Classifier
from s2ldm_core.regions.features import slice_features

SPACING = (8.0, 4.0, 4.0)


class Told(Classifier):
    """Says of each slice what it was told."""

    def __init__(self, *regions: str, sure: float = 1.0) -> None:
        self.told, self.sure = regions, sure

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        rest = (1.0 - self.sure) / (len(REGIONS) - 1)
        return np.array([[self.sure if name == one else rest for name in REGIONS] for one in self.told])


def judge(*regions: str, sure: float = 1.0) -> object:
    return judge_regions(np.zeros((len(regions), 32, 32)), (40.0, 4.0, 4.0), classifier=Told(*regions, sure=sure))


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    """A phantom that was never learnt from, 8 slices about the heart."""
    return Phantom(100_001, matrix=(110, 110), slices=8, spacing_mm=SPACING, centre_mm=(0.0, 0.0, 120.0)).hu(
        "native", noise_seed=1
    )


def test_a_chest_is_torso(chest: np.ndarray) -> None:
    judgement = judge_regions(chest, SPACING)

    assert judgement.problem is None
    assert judgement.within_torso
    assert judgement.sure
    assert set(judgement.shares) <= {"thorax", "shoulder", "upper_abdomen"}


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_it_does_not_matter_how_the_patient_lies(chest: np.ndarray, quarters: int) -> None:
    turned = np.rot90(chest, quarters, axes=(1, 2))

    assert judge_regions(turned, SPACING).within_torso
    assert judge_regions(chest[::-1], SPACING).within_torso


@pytest.mark.parametrize("kind", ["head", "neck", "legs", "arm", "water"])
def test_other_parts_of_the_body_and_phantoms_are_refused(kind: str) -> None:
    from train.regions.procedural import procedural

    for seed in (5001, 5002, 5003):  # never learnt from
        series = procedural(kind, seed)
        problem = judge_regions(series.hu, series.spacing_mm).problem
        assert problem is not None, series.name
        assert problem.code == "not_torso"


def test_half_a_head_and_half_a_chest_are_told_apart_with_their_slices() -> None:
    judgement = judge(*["thorax"] * 5, *["head"] * 5)

    assert judgement.outside == (5, 6, 7, 8, 9)
    assert judgement.problem is not None
    assert judgement.problem.code == "partly_torso"
    assert "slices 6 to 10 of 10 show head" in judgement.problem.sentence


@pytest.mark.parametrize(("neck", "code"), [(2, None), (3, "partly_torso"), (9, "partly_torso"), (10, "not_torso")])
def test_a_fifth_of_a_series_may_lie_outside_the_torso(neck: int, code: str | None) -> None:
    problem = judge(*["shoulder"] * (10 - neck), *["neck"] * neck).problem

    assert (problem and problem.code) == code


def test_a_quarter_outside_is_too_much() -> None:
    assert judge(*["pelvis"] * 12, *["extremity"] * 4).problem.code == "partly_torso"


def test_less_than_a_tenth_of_torso_is_none() -> None:
    assert judge(*["thorax"], *["head"] * 9).problem.code == "partly_torso"
    assert judge(*["thorax"], *["head"] * 10).problem.code == "not_torso"


@pytest.mark.parametrize(("sure", "expected"), [(0.8, True), (0.6, False)])
def test_a_judgement_is_sure_from_three_quarters_on(sure: float, expected: bool) -> None:
    assert judge(*["head"] * 4, sure=sure).sure is expected


def test_a_slice_is_judged_with_its_neighbours() -> None:
    told = Told(*["thorax"] * 3, "head", *["thorax"] * 3, sure=0.6)

    near = judge_regions(np.zeros((7, 8, 8)), (5.0, 4.0, 4.0), classifier=told)
    far = judge_regions(np.zeros((7, 8, 8)), (40.0, 4.0, 4.0), classifier=told)

    assert near.regions[3] == "thorax"
    assert far.regions[3] == "head"


@pytest.mark.parametrize(("step_mm", "region"), [(12.0, "thorax"), (15.0, "head")])
def test_neighbours_count_within_a_centimetre(step_mm: float, region: str) -> None:
    told = Told(*["thorax"] * 3, "head", *["thorax"] * 3, sure=0.9)

    assert judge_regions(np.zeros((7, 8, 8)), (step_mm, 4.0, 4.0), classifier=told).regions[3] == region


def test_of_thin_slices_every_fifth_millimetre_is_looked_at_and_all_are_judged() -> None:
    told = Told(*["thorax"] * 10, *["head"] * 10)

    judgement = judge_regions(np.zeros((100, 8, 8)), (1.0, 4.0, 4.0), classifier=told)

    assert judgement.regions == ("thorax",) * 48 + ("head",) * 52


def test_features_do_not_depend_on_the_side_or_the_grid(chest: np.ndarray) -> None:
    features = slice_features(chest, SPACING)
    fine = slice_features(np.repeat(np.repeat(chest, 2, axis=1), 2, axis=2), (8.0, 2.0, 2.0))

    np.testing.assert_allclose(fine, features, atol=1e-4)
    np.testing.assert_allclose(slice_features(chest[:, :, ::-1], SPACING), features, atol=0.05)


def test_an_empty_field_has_no_features() -> None:
    assert not slice_features(np.full((2, 50, 50), -1000.0), SPACING).any()


@pytest.mark.real_data
def test_real_torsos_are_accepted_and_real_heads_refused(real_data: Path) -> None:
    """With the bundled classifier, which knows the torsos but never saw a real head; docs/regions.md has the honest test."""
    from train.regions.real import real_series

    for series in real_series(real_data, use="train"):
        assert judge_regions(series.hu, series.spacing_mm).problem is None, series.name
    for series in real_series(real_data, use="test"):
        problem = judge_regions(series.hu, series.spacing_mm).problem
        assert problem is not None, series.name
        assert problem.code == "not_torso"


def test_a_field_too_narrow_for_an_outline_says_nothing_for_sure() -> None:
    """64 mm: the inside of a torso looks like a limb, so that the tags must say what it is."""
    judgement = judge_regions(np.zeros((8, 16, 16)), (40.0, 4.0, 4.0), classifier=Told(*["extremity"] * 8))

    assert not judgement.sure
    assert judgement.problem is not None
    assert judgement.problem.code == "region_unknown"
    assert "64 mm" in judgement.problem.sentence
