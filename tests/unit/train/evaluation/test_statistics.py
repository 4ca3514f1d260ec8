"""Intervals and tests: known answers, and patients as the unit of evidence."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from train.evaluation.statistics import Paired, compare, correlation, estimate, holm


def test_the_estimate_is_the_mean_over_cases_and_lies_in_its_interval() -> None:
    found = estimate([1.0, 2.0, 3.0, 6.0], ["a", "b", "c", "d"])
    assert found.value == 3.0
    margin = 3.18245 * np.std([1.0, 2.0, 3.0, 6.0], ddof=1) / 2  # t of three degrees of freedom
    assert (found.low, found.high) == pytest.approx((3 - margin, 3 + margin), rel=1e-4)
    assert (found.cases, found.patients) == (4, 4)


@pytest.mark.parametrize("patients", [3, 4, 8, 30])
@pytest.mark.parametrize("ratio", [False, True])
def test_the_interval_covers_the_truth_as_often_as_it_says(patients: int, ratio: bool) -> None:
    rng = np.random.default_rng(0)
    names = [str(n) for n in range(patients)]
    covered = []
    for _ in range(1000):
        over = rng.uniform(80, 120, patients) if ratio else np.ones(patients)
        found = estimate(5 * over + rng.normal(0, 0.2, patients) * over, names, over=over)
        covered.append(found.low <= 5 <= found.high)
    assert 0.93 <= np.mean(covered) <= 0.97  # the percentile bootstrap of four: 0.78


def test_its_width_is_that_of_the_standard_error() -> None:
    values = np.random.default_rng(1).normal(0, 1, 400)
    found = estimate(values, [str(n) for n in range(400)])
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_cases_of_one_patient_are_not_independent() -> None:
    values = np.random.default_rng(2).normal(0, 1, 12)
    alone = estimate(values, [str(n) for n in range(12)])
    repeated = estimate(np.repeat(values, 5), np.repeat([str(n) for n in range(12)], 5).tolist())
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))


def test_a_ratio_is_of_the_sums_not_a_mean_of_ratios() -> None:
    found = estimate([10.0, 90.0], ["a", "b"], over=[1.0, 99.0])
    assert found.value == 1.0
    margin = 12.7062 * np.sqrt(2 * (9.0**2 + 9.0**2)) / 100  # t of one degree of freedom
    assert (found.low, found.high) == pytest.approx((1 - margin, 1 + margin), rel=1e-4)


def test_one_patient_has_no_interval_and_none_no_estimate() -> None:
    found = estimate([1.0, 3.0], ["a", "a"])
    assert (found.value, found.low, found.high) == (2.0, None, None)
    assert estimate([], []) is None


def test_lengths_must_pair_up() -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        estimate([1.0], ["a", "b"])


def test_holm_is_the_textbook_example() -> None:
    # 0.01·4, then max(0.04, 0.02·3), max(0.06, 0.03·2), max(0.06, 0.04·1)
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairs_are_tested_over_patients_and_corrected_together() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(20, 3, 10)
    near, far = first + rng.normal(0, 1, 10), first + rng.normal(3, 1, 10)
    patients = [str(n) for n in range(10)]
    both = compare(
        [
            Paired(metric="mae", first="a", second="b", first_values=first, second_values=near, patients=patients),
            Paired(metric="mae", first="a", second="c", first_values=first, second_values=far, patients=patients),
        ]
    )
    assert both[1].p == pytest.approx(wilcoxon(first - far).pvalue)
    assert both[1].p_holm == pytest.approx(2 * both[1].p)
    assert both[1].difference == pytest.approx(np.median(first - far))
    assert both[0].p_holm > 0.05 > both[1].p_holm


def test_several_scans_of_a_patient_count_as_one() -> None:
    patients = ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]
    (found,) = compare(
        [
            Paired(
                metric="m",
                first="x",
                second="y",
                first_values=np.arange(10) + 5.0,
                second_values=np.zeros(10),
                patients=patients,
            )
        ]
    )
    assert found.patients == 5
    assert found.p == pytest.approx(2 / 2**5)  # as small as five patients can get


def test_equal_systems_do_not_differ() -> None:
    (found,) = compare(
        [Paired(metric="m", first="x", second="y", first_values=[1, 2], second_values=[1, 2], patients=["a", "b"])]
    )
    assert (found.difference, found.p) == (0.0, 1.0)


def test_correlation_needs_points_and_spread() -> None:
    assert correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == pytest.approx(1.0)
    assert correlation([1.0, 2.0], [1.0, 2.0]) is None
    assert correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
