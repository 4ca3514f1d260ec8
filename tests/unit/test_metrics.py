"""Metrics: known answers and the traps of their definitions."""

import math

import numpy as np
import pytest

from train.metrics import enhancement, mae_hu, psnr, ssim_axial


def test_psnr_of_a_constant_error_is_the_textbook_value():
    target = np.zeros((2, 8, 8))
    assert psnr(target + 4.0, target) == pytest.approx(20 * math.log10(400 / 4))


def test_psnr_clips_both_to_the_window_first():
    target = np.full((2, 8, 8), 350.0)
    assert psnr(np.full_like(target, 210.0), target) == math.inf


def test_ssim_does_not_depend_on_the_images_own_range():
    rng = np.random.default_rng(0)
    target = rng.normal(0, 40, (2, 32, 32))
    prediction = target + rng.normal(0, 10, target.shape)
    metal = target.copy()
    metal[:, 0, 0] = 3000.0
    other = prediction.copy()
    other[:, 0, 0] = 3000.0
    assert ssim_axial(other, metal) == pytest.approx(ssim_axial(prediction, target), abs=0.01)


def test_mae_is_unclipped_and_masked():
    target, where = np.zeros((1, 2, 2)), np.array([[[True, False], [False, False]]])
    prediction = np.array([[[900.0, 5.0], [5.0, 5.0]]])
    assert mae_hu(prediction, target, where=where) == 900.0


def test_enhancement_is_the_mean_change_or_nothing_when_the_organ_is_absent():
    before, after = np.zeros((1, 2, 2)), np.full((1, 2, 2), 30.0)
    assert enhancement(after, before, where=np.ones((1, 2, 2), bool)) == 30.0
    assert enhancement(after, before, where=np.zeros((1, 2, 2), bool)) is None
