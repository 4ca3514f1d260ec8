"""The order of a reader study: seeded, balanced, and no scan twice before all others came."""

import numpy as np
import pytest

from train.readers.design import drawn_items, reading_order

SCANS = {(f"case-{n}", phase): ("acquired", "one", "two") for n in range(5) for phase in ("arterial", "venous")}


def test_single_images_are_all_there_once_and_numbered_at_random() -> None:
    items = drawn_items(SCANS, design="single", rng=np.random.default_rng(0))
    assert sorted(items.values()) == sorted((scan, (label,)) for scan, labels in SCANS.items() for label in labels)
    assert [items[name] for name in sorted(items)] != [(s, (x,)) for s, labels in SCANS.items() for x in labels]
    assert items == drawn_items(SCANS, design="single", rng=np.random.default_rng(0))
    assert items != drawn_items(SCANS, design="single", rng=np.random.default_rng(1))


@pytest.mark.parametrize("seed", range(4))
def test_every_two_labels_stand_on_either_side_as_often(seed: int) -> None:
    items = drawn_items(SCANS, design="pair", rng=np.random.default_rng(seed))
    assert len(items) == 30
    for two in (("acquired", "one"), ("acquired", "two"), ("one", "two")):
        assert sum(labels == two for _, labels in items.values()) == 5


@pytest.mark.parametrize("design", ["single", "pair"])
def test_no_scan_comes_again_before_all_others_came(design: str) -> None:
    rng = np.random.default_rng(3)
    items = drawn_items(SCANS, design=design, rng=rng)
    one, other = (reading_order({name: scan for name, (scan, _) in items.items()}, rng=rng) for _ in range(2))
    assert sorted(one) == sorted(items)
    assert one != other
    for start in (0, 10, 20):
        assert len({items[name][0] for name in one[start : start + 10]}) == 10
