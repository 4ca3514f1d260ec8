"""What was not measured is left out of what systems are judged by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from train.evaluation.cases import StoreCases
from train.evaluation.scores import Reference, score
from train.store import write_case


def _case(folder: Path, *, valid: bool) -> StoreCases:
    rng = np.random.default_rng(0)
    native = np.full((8, 48, 48), 40.0) + rng.normal(0, 5, (8, 48, 48))
    labels = np.full(native.shape, 95, np.uint8)
    where = np.zeros(native.shape, bool)
    where[..., :24] = True
    write_case(
        folder,
        "a",
        spacing_mm=(3, 1.5, 1.5),
        native=native,
        changes={"venous": np.full(native.shape, 50.0)},
        labels=labels,
        organs={"liver": 95},
        valid={"venous": where} if valid else None,
        split="test",
        about={},
    )
    return StoreCases(folder)


@pytest.mark.parametrize("valid", [True, False])
def test_an_error_beyond_what_was_measured_counts_only_where_nothing_says_so(tmp_path: Path, valid: bool) -> None:
    case = _case(tmp_path, valid=valid).load("a")
    target = case.target("venous")
    reference = Reference.of(case, target, valid=case.valid("venous"))
    wrong = target.hu.copy()
    wrong[..., 30:] += 100.0  # beyond the mask and the reach of the smoothing
    values = score(wrong, reference, window_hu=(-200, 500)).values
    for key in ("mae_body_hu", "mae_soft_hu", "organ_error_hu"):
        value = values[key]
        assert value is not None
        assert value == pytest.approx(0.0, abs=1e-3) if valid else value > 10.0, key
    assert (values["psnr_db"] is None) == valid


def test_noise_counts_little_in_soft_tissue_and_a_missing_enhancement_fully(tmp_path: Path) -> None:
    case = _case(tmp_path, valid=False).load("a")
    target = case.target("venous")
    reference = Reference.of(case, target)
    noisy = target.hu + np.random.default_rng(1).normal(0, 10, target.hu.shape)
    values = score(noisy, reference, window_hu=(-200, 500)).values
    assert values["mae_soft_hu"] is not None
    assert values["mae_body_hu"] is not None
    assert values["mae_soft_hu"] < 0.3 * values["mae_body_hu"]
    untouched = score(case.source.hu, reference, window_hu=(-200, 500)).values
    assert untouched["mae_soft_hu"] == pytest.approx(50.0, abs=0.2)


def test_what_noise_adds_to_still_tissue_is_smoothed_away(tmp_path: Path) -> None:
    case = _case(tmp_path, valid=False).load("a")
    target = case.target("venous")
    reference = Reference.of(case, target)
    half = np.zeros(reference.body.shape, bool)
    half[:4] = True
    reference = replace(reference, still=reference.body & half)
    wrong = target.hu + np.random.default_rng(1).normal(0, 20, target.hu.shape) + np.where(half, 20.0, 90.0)
    values = score(wrong, reference, window_hu=(-200, 500)).values
    assert values["mae_still_smooth_hu"] == pytest.approx(20.0, abs=0.5)
    assert values["mae_still_hu"] is not None
    assert values["mae_still_hu"] > 22
