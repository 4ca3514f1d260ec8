"""Statistics of reader studies: known answers, and intervals that hold at a few patients."""

import numpy as np
import pytest
from scipy.stats import binomtest, mannwhitneyu

from train.readers.statistics import agreement, cohen_kappa, fleiss_kappa, light_kappa, roc_area, share


@pytest.mark.parametrize(("hits", "patients"), [(0, 4), (3, 4), (4, 4), (11, 20)])
def test_a_share_has_the_exact_binomial_interval(hits: int, patients: int) -> None:
    expected = binomtest(hits, patients).proportion_ci(confidence_level=0.95, method="exact")
    found = share(hits / patients, patients)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("patients", [4, 10])
@pytest.mark.parametrize("truth", [0.5, 0.9])
def test_the_interval_covers_where_patients_differ_and_give_several_answers(patients: int, truth: float) -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(500):
        own = rng.beta(2 * truth, 2 * (1 - truth), patients)  # how easy each patient is
        found = share(float(rng.binomial(6, own).mean() / 6), patients)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) >= 0.95


@pytest.mark.parametrize("patients", [4, 10])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_the_interval_of_an_area_covers_though_both_images_are_of_one_patient(patients: int, shift: float) -> None:
    rng = np.random.default_rng(1)

    def grades(n: int) -> tuple[np.ndarray, np.ndarray]:
        habitus = rng.normal(0, 1, n)  # what both images of a patient share
        higher, lower = (np.clip(np.rint(3 + x + rng.normal(0, 1, n) + habitus), 1, 5) for x in (shift, 0.0))
        return higher, lower

    truth = roc_area(*grades(3000))
    covered = []
    for _ in range(400):
        found = share(roc_area(*grades(patients)), patients)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) >= 0.95


def test_the_area_is_mann_and_whitneys() -> None:
    rng = np.random.default_rng(2)
    higher, lower = rng.integers(1, 6, 30), rng.integers(1, 5, 25)
    expected = mannwhitneyu(higher, lower).statistic / (30 * 25)
    assert roc_area(higher.tolist(), lower.tolist()) == pytest.approx(expected)
    assert roc_area([5, 5], [1, 2]) == 1.0


def test_two_readers_kappa_has_the_textbooks_value() -> None:
    """Fifty proposals: 20 times both yes, 15 times both no, 5 and 10 times one alone."""
    first = [1.0] * 25 + [0.0] * 25
    second = [1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa([3.0, 3.0], [3.0, 3.0]) is None


def test_grades_one_apart_agree_better_than_grades_four_apart() -> None:
    near = cohen_kappa([1, 2, 3, 4, 5], [2, 2, 3, 4, 4], weighted=True)
    assert near == pytest.approx(
        1 - 0.4 / 2.8
    )  # mean square of the pairs, 2 / 5; of all pairs, the two variances, 2 + 0.8
    far = cohen_kappa([1, 2, 3, 4, 5], [5, 2, 3, 4, 1], weighted=True)
    assert far < 0 < near
    assert light_kappa(list(zip([1, 2, 3, 4, 5], [2, 2, 3, 4, 4], strict=True))) == pytest.approx(near)


def test_many_readers_kappa_has_the_textbooks_value() -> None:
    """Fourteen raters, ten subjects, five categories."""
    counts = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    ratings = [[category for category, n in enumerate(row) for _ in range(n)] for row in counts]
    assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)
    assert fleiss_kappa([["a", "a"], ["a", "a"]]) is None


def test_agreement_takes_patients_and_leaves_its_spread_open_where_it_is_unknown() -> None:
    def pairs(rows: list[tuple[float, float]]) -> float | None:
        return cohen_kappa([row[0] for row in rows], [row[1] for row in rows])

    rows = {str(n): [(n % 2, n % 2), ((n + 1) % 2, (n + 1) % 2 if n % 3 else n % 2)] for n in range(9)}
    found = agreement(pairs, rows)
    assert (found.items, found.patients) == (18, 9)
    assert found.low < found.value < found.high
    perfect = agreement(pairs, {str(n): [(0.0, 0.0), (1.0, 1.0)] for n in range(5)})
    assert (perfect.value, perfect.low, perfect.high) == (1.0, None, None)
    assert agreement(pairs, {"a": [(1.0, 1.0)]}) is None
    alone = agreement(pairs, {"a": [(1.0, 0.0), (0.0, 1.0)]})
    assert (alone.value, alone.low, alone.high) == (-1.0, None, None)
