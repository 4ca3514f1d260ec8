"""Label maps completed, divided and judged."""

from typing import Any

import numpy as np
import pytest

from tests.tiny_anatomy import NAMES, SPACING_MM, label_map, native_ct
from train.anatomy import AnatomyError, prepare
from train.anatomy.completion import complete
from train.anatomy.names import CODES


def test_unlabelled_tissue_is_named_by_its_hu() -> None:
    labels = label_map(8)
    ct = native_ct(labels, noise_hu=0.0)
    codes = np.where(labels == 5, CODES["aorta"], 0).astype(np.uint8)
    done = complete(codes, SPACING_MM, ct_hu=ct)
    middle = slice(3, 5)
    for label, expected in ((4, "soft"), (7, "pelvic_bone"), (5, "aorta"), (0, "air")):
        where = labels[middle] == label
        assert np.mean(done[middle][where] == CODES[expected]) > 0.9, expected
    fat = np.isin(done[middle], [CODES["subcutaneous_fat"], CODES["visceral_fat"]])
    assert np.mean(fat[labels[middle] == 1]) > 0.85


def test_without_a_ct_the_gaps_between_organs_are_fat_and_the_canal_holds_the_cord() -> None:
    codes = np.zeros((3, 60, 60), np.uint8)
    codes[:, 5:55, 5:55] = CODES["liver"]
    codes[:, 20:40, 20:40] = CODES["vertebra"]
    codes[:, 24:36, 24:36] = 0
    codes[:, 45:50, 10:50] = 0
    done = complete(codes, (3.0, 1.5, 1.5), ct_hu=None)
    assert set(np.unique(done[:, 45:50, 10:50])) == {CODES["visceral_fat"]}
    assert set(np.unique(done[:, 24:36, 24:36])) == {CODES["csf"], CODES["spinal_cord"]}


def test_a_native_ct_is_kept_and_an_enhanced_one_only_used_to_complete() -> None:
    labels = label_map(8)
    ct = native_ct(labels)
    assert prepare("a", labels, NAMES, spacing_mm=SPACING_MM, ct_hu=ct).ct_hu is not None
    enhanced = ct + np.isin(labels, (5, 6, 12)) * np.float32(110.0)
    assert prepare("a", labels, NAMES, spacing_mm=SPACING_MM, ct_hu=enhanced).ct_hu is None


def test_slices_above_a_liver_without_lungs_are_left_out() -> None:
    labels = label_map(12)
    labels[9:][labels[9:] == 4] = 3
    assert prepare("a", labels, NAMES, spacing_mm=SPACING_MM).codes.shape[0] == 9


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda ids: {"ids": ids, "names": {**NAMES, 4: "zaphod"}}, "label_unknown"),
        (lambda ids: {"ids": np.where(ids == 4, 99, ids), "names": NAMES}, "label_unnamed"),
        (lambda ids: {"ids": np.zeros_like(ids), "names": NAMES}, "anatomy_empty"),
    ],
)
def test_a_wrong_map_is_refused_with_its_reason(change: Any, code: str) -> None:
    arguments = change(label_map(6))
    with pytest.raises(AnatomyError) as refusal:
        prepare("a", arguments["ids"], arguments["names"], spacing_mm=SPACING_MM)
    assert refusal.value.code == code
