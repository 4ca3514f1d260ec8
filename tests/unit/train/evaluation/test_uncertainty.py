"""Whether the error grows with the standard deviation."""

from typing import Any

import numpy as np
import pytest

from train.evaluation.uncertainty import calibrate, pooled


@pytest.fixture(scope="module")
def honest() -> Any:
    """Deviations from 1 to 40 HU and errors drawn with exactly that deviation."""
    rng = np.random.default_rng(0)
    deviation = rng.uniform(1, 40, (8, 64, 64)).astype(np.float32)
    return deviation, (deviation * rng.normal(size=deviation.shape)).astype(np.float32)


def test_an_honest_uncertainty_lies_on_the_diagonal(honest: Any) -> None:
    found = calibrate(*honest, where=np.ones(honest[0].shape, bool))
    assert found.ratio == pytest.approx(1.0, abs=0.02)
    assert len(found.rows) >= 8
    for row in found.rows:
        assert row["error_hu"] == pytest.approx(row["predicted_hu"], rel=0.1)
    assert found.rank_correlation > 0.4


def test_an_uncertainty_that_knows_nothing_has_a_flat_curve(honest: Any) -> None:
    deviation, error = honest
    shuffled = np.random.default_rng(1).permutation(error.ravel()).reshape(error.shape)
    found = calibrate(deviation, shuffled, where=np.ones(error.shape, bool))
    assert abs(found.rank_correlation) < 0.03
    errors = [row["error_hu"] for row in found.rows if row["voxels"] > 1000]
    assert max(errors) / min(errors) < 1.15


def test_only_the_masks_voxels_count(honest: Any) -> None:
    where = np.zeros(honest[0].shape, bool)
    where[:, :32] = True
    assert sum(calibrate(*honest, where=where).counts) == where.sum()


def test_a_constant_deviation_has_no_rank_correlation() -> None:
    found = calibrate(
        np.full((1, 16, 16), 2.5), np.random.default_rng(0).normal(size=(1, 16, 16)), where=np.ones((1, 16, 16), bool)
    )
    assert found.rank_correlation is None
    assert len(found.rows) == 1


def test_cases_add_up(honest: Any) -> None:
    deviation, error = honest
    whole = calibrate(deviation, error, where=np.ones(error.shape, bool))
    halves = [
        calibrate(deviation[s], error[s], where=np.ones(error[s].shape, bool)) for s in (slice(0, 4), slice(4, 8))
    ]
    both = pooled(halves)
    assert both.counts == whole.counts
    assert both.ratio == pytest.approx(whole.ratio)
    assert both.cases == 2
    with pytest.raises(ValueError, match="no case"):
        pooled([])
