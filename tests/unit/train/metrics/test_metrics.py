"""Voxel-wise metrics, gradients and organs: known answers, the traps of their definitions, and agreement with scikit-image and MONAI."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from monai.metrics import MAEMetric, PSNRMetric, RMSEMetric
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio

from train.metrics import (
    enhancement,
    gradient_error,
    mae_hu,
    organ_cores,
    organ_means,
    organ_voxels,
    psnr,
    recovery,
    voxel_errors,
)


@pytest.fixture(scope="module")
def pair() -> Any:
    """A prediction and a target with values well outside the window on both sides."""
    rng = np.random.default_rng(0)
    target = rng.uniform(-1000, 900, (6, 24, 20)).astype(np.float32)
    return target + rng.normal(0, 60, target.shape).astype(np.float32), target


def _unit(hu: Any, low: Any = -200.0, high: Any = 200.0) -> Any:
    return (np.clip(hu, low, high).astype(np.float64) - low) / (high - low)


def test_every_name_has_its_own_definition() -> None:
    target = np.array([[[0.0, 100.0], [-200.0, 200.0]]])
    prediction = target + np.array([[[20.0, -40.0], [0.0, 100.0]]])
    errors = voxel_errors(prediction, target, window_hu=(-200.0, 200.0))
    # On [0, 1] the target is 0.5, 0.75, 0, 1 and the clipped error 0.05, -0.1, 0, 0: the last one was clipped away.
    assert errors.mae_hu == pytest.approx((20 + 40 + 100) / 4)
    assert errors.bias_hu == pytest.approx((20 - 40 + 100) / 4)
    assert errors.rmse_hu == pytest.approx(math.sqrt((400 + 1600 + 10_000) / 4))
    assert errors.mae_window_hu == pytest.approx((20 + 40) / 4)
    assert errors.rmse_window_hu == pytest.approx(math.sqrt((400 + 1600) / 4))
    assert errors.nmae_range == pytest.approx(15 / 400)
    assert errors.nmae_rel == pytest.approx(0.15 / 2.25)
    assert errors.nmse_energy == pytest.approx(0.0125 / (0.25 + 0.5625 + 1.0))
    assert errors.psnr_db == pytest.approx(20 * math.log10(400 / math.sqrt(500)))


def test_agrees_with_scikit_image(pair: Any) -> None:
    prediction, target = pair
    p, y = _unit(prediction), _unit(target)
    errors = voxel_errors(prediction, target)
    assert errors.psnr_db == pytest.approx(peak_signal_noise_ratio(y, p, data_range=1.0), abs=1e-5)
    assert errors.nmse_energy == pytest.approx(normalized_root_mse(y, p, normalization="euclidean") ** 2, abs=1e-5)


def test_agrees_with_monai(pair: Any) -> None:
    prediction, target = pair
    p, y = (torch.from_numpy(_unit(hu))[None, None] for hu in pair)
    errors = voxel_errors(prediction, target)
    assert errors.psnr_db == pytest.approx(float(PSNRMetric(max_val=1.0)(p, y)), abs=1e-5)
    assert errors.nmae_range == pytest.approx(float(MAEMetric()(p, y)), abs=1e-5)
    assert errors.rmse_window_hu / 400 == pytest.approx(float(RMSEMetric()(p, y)), abs=1e-5)
    raw = (torch.from_numpy(hu.astype(np.float64))[None, None] for hu in pair)
    assert errors.mae_hu == pytest.approx(float(MAEMetric()(*raw)), rel=1e-6)


def test_psnr_of_a_constant_error_is_the_textbook_value() -> None:
    target = np.zeros((2, 8, 8))
    assert psnr(target + 4.0, target) == pytest.approx(20 * math.log10(400 / 4))


def test_psnr_clips_both_to_the_window_first() -> None:
    target = np.full((2, 8, 8), 350.0)
    assert psnr(np.full_like(target, 210.0), target) == math.inf


def test_psnr_on_minus_one_to_one_with_a_range_of_one_would_be_six_decibels_too_low(pair: Any) -> None:
    prediction, target = pair
    wrong = peak_signal_noise_ratio(2 * _unit(target) - 1, 2 * _unit(prediction) - 1, data_range=1.0)
    assert psnr(prediction, target) - wrong == pytest.approx(6.0206, abs=1e-4)


def test_a_metal_voxel_does_not_change_the_range_of_psnr(pair: Any) -> None:
    prediction, target = (hu.copy() for hu in pair)
    target[0, 0, 0] = prediction[0, 0, 0] = 200.0
    before = psnr(prediction, target)
    target[0, 0, 0] = prediction[0, 0, 0] = 30_000.0
    assert psnr(prediction, target) == before


def test_background_air_inflates_the_whole_volume_but_not_the_body() -> None:
    rng = np.random.default_rng(0)
    target = np.full((4, 50, 20), -1000.0)
    body = np.zeros(target.shape, bool)
    body[:, :20] = True  # 40 %
    target[body] = rng.normal(0, 30, body.sum())
    prediction = np.where(body, target + 10, target)
    whole, inside = psnr(prediction, target), psnr(prediction, target, where=body)
    assert inside == pytest.approx(20 * math.log10(40), abs=1e-9)
    assert whole - inside == pytest.approx(10 * math.log10(1 / 0.4), abs=1e-9)


def test_an_aorta_above_the_window_shows_in_the_unclipped_error_only() -> None:
    target, prediction = np.full((1, 4, 4), 380.0), np.full((1, 4, 4), 230.0)
    errors = voxel_errors(prediction, target)
    assert errors.mae_window_hu == 0
    assert errors.mae_hu == 150


def test_mae_is_unclipped_and_masked() -> None:
    target, where = np.zeros((1, 2, 2)), np.array([[[True, False], [False, False]]])
    prediction = np.array([[[900.0, 5.0], [5.0, 5.0]]])
    assert mae_hu(prediction, target, where=where) == 900.0


def test_slabs_do_not_change_the_sums(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = voxel_errors(*pair)
    monkeypatch.setattr("train.metrics.window.SLAB_VOXELS", 1000)
    parts = voxel_errors(*pair)
    assert parts.count == whole.count
    assert parts.psnr_db == pytest.approx(whole.psnr_db, abs=1e-10)


def test_an_empty_mask_gives_no_number(pair: Any) -> None:
    errors = voxel_errors(*pair, where=np.zeros(pair[0].shape, bool))
    assert math.isnan(errors.mae_hu)
    assert math.isnan(errors.nmae_rel)


def test_other_shapes_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        voxel_errors(np.zeros((2, 4, 4)), np.zeros((1, 4, 4)))


def test_an_upside_down_window_is_refused(pair: Any) -> None:
    with pytest.raises(ValueError, match="lower to higher"):
        voxel_errors(*pair, window_hu=(200.0, -200.0))


def test_gradient_error_of_two_ramps_is_the_difference_of_their_slopes() -> None:
    ramp = np.broadcast_to(np.arange(10.0)[:, None, None], (10, 6, 6))
    # 1 HU a slice of 2 mm is 0.5 HU/mm; 5 HU a slice 2.5 HU/mm.
    assert gradient_error(5 * ramp, ramp, spacing_mm=(2.0, 1.0, 1.0)) == pytest.approx(2.0)
    assert gradient_error(-ramp, ramp, spacing_mm=(2.0, 1.0, 1.0)) == pytest.approx(0.0)


def test_gradient_error_is_the_same_in_slabs_and_masked(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prediction, target = pair
    magnitudes = [np.sqrt(sum(g**2 for g in np.gradient(hu.astype(np.float64), 3.0, 1.5, 1.5))) for hu in pair]
    where = target > 0
    expected = np.abs(magnitudes[0] - magnitudes[1])[where].mean()
    monkeypatch.setattr("train.metrics.window.SLAB_VOXELS", 1000)
    assert gradient_error(prediction, target, spacing_mm=(3.0, 1.5, 1.5), where=where) == pytest.approx(
        expected, rel=1e-5
    )


def test_enhancement_is_the_mean_change_or_nothing_when_the_organ_is_absent() -> None:
    before, after = np.zeros((1, 2, 2)), np.full((1, 2, 2), 30.0)
    assert enhancement(after, before, where=np.ones((1, 2, 2), bool)) == 30.0
    assert enhancement(after, before, where=np.zeros((1, 2, 2), bool)) is None


def test_the_core_of_an_organ_keeps_off_every_other_label_within_the_slice_and_a_thin_one_stays_whole() -> None:
    labels = np.zeros((2, 24, 24), np.uint8)
    labels[0, 4:20, 4:20] = 7
    labels[:, 0, :] = 9
    labels[0, 12, 20] = 8  # beside organ 7, in its slice alone
    cores = organ_cores(labels, spacing_mm=(5.0, 1.0, 1.0), margin_mm=2.0, fewest=2)
    expected = np.zeros((24, 24), bool)
    expected[6:18, 6:18] = True
    assert np.array_equal(cores[0] == 7, expected)
    assert (cores == 9).sum() == (labels == 9).sum()
    assert (cores == 8).sum() == 1  # one voxel: fewer than two are left, so all are kept
    coarse = organ_cores(labels, spacing_mm=(5.0, 3.0, 3.0), margin_mm=2.0)
    assert (coarse[0] == 7).sum() == 14 * 14


def test_organ_means_are_of_the_organs_own_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.metrics.window.SLAB_VOXELS", 4)
    labels = np.array([[[1, 1], [2, 0]], [[1, 0], [2, 2]]], dtype=np.uint8)
    hu = np.array([[[10.0, 20.0], [5.0, -1000.0]], [[60.0, -1000.0], [500.0, 5.0]]])
    organs = {"liver": 1, "aorta": 2, "spleen": 3}
    assert organ_means(hu, labels, organs) == pytest.approx({"liver": 30.0, "aorta": 170.0})
    assert organ_voxels(labels, organs) == {"liver": 3, "aorta": 3}


def test_recovery_is_not_defined_where_nothing_enhances() -> None:
    assert recovery(60.0, 80.0) == 0.75
    assert recovery(-5.0, 10.0) == -0.5
    assert recovery(3.0, 0.4) is None
