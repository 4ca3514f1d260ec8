import numpy as np
import pytest

from train.regions.evaluation import wilson
from train.regions.fit import fit
from train.regions.procedural import MAKERS, procedural


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"), [(0, 0, 0.0, 1.0), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634)]
)
def test_the_interval_is_wilsons(hits: int, count: int, low: float, high: float) -> None:
    assert wilson(hits, count) == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_made_up_series_depends_on_its_seed_alone(kind: str) -> None:
    one, again, other = procedural(kind, 3), procedural(kind, 3), procedural(kind, 4)

    np.testing.assert_array_equal(one.hu, again.hu)
    assert one.hu.shape != other.hu.shape or not np.array_equal(one.hu, other.hu)
    assert len(one.regions) == len(one.hu)


def test_a_fit_tells_apart_what_is_apart_and_is_reproducible() -> None:
    rng = np.random.default_rng(0)
    regions = np.repeat([0, 3], 200)
    features = rng.normal(0, 1, (400, 5)) + regions[:, None]

    first, second = (fit(features, regions, np.ones(400)) for _ in range(2))

    assert (first.probabilities(features).argmax(axis=1) == regions).mean() > 0.97
    np.testing.assert_array_equal(first.first, second.first)
