"""Noise-power spectra: known answers for white and filtered noise, and regions that no prediction can choose."""

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from train.metrics import Regions, homogeneous_regions, noise_power, noise_power_distance

SPACING = (3.0, 0.8, 0.8)


@pytest.fixture(scope="module")
def noise() -> Any:
    return np.random.default_rng(0).normal(40, 12, (12, 128, 128)).astype(np.float32)


@pytest.fixture(scope="module")
def regions() -> Any:
    """Every place of the grid: the most homogeneous of them would have less noise than there is."""
    return Regions(
        corners=np.array([(k, y, x) for k in range(12) for y in range(0, 128, 32) for x in range(0, 128, 32)]), side=32
    )


def test_only_the_most_homogeneous_places_are_used(noise: Any) -> None:
    structured = noise.copy()
    structured[:6] += 60 * np.sign(np.sin(np.arange(128)))
    regions = homogeneous_regions(structured, structured, spacing_mm=SPACING, body=np.ones(noise.shape, bool))
    assert len(regions.corners) == round(0.05 * 12 * 16)
    assert regions.corners[:, 0].min() >= 6


def test_white_noise_has_a_flat_spectrum_of_variance_times_pixel_area(noise: Any, regions: Any) -> None:
    spectrum = noise_power(noise, regions, spacing_mm=SPACING)
    expected = spectrum.variance_hu2 * 0.8 * 0.8
    assert spectrum.variance_hu2 == pytest.approx(144, rel=0.05)
    assert spectrum.power[2:].mean() == pytest.approx(expected, rel=0.02)
    assert np.all(np.abs(spectrum.power[2:] / expected - 1) < 0.15)


def test_frequencies_reach_the_nyquist_frequency(noise: Any, regions: Any) -> None:
    spectrum = noise_power(noise, regions, spacing_mm=SPACING)
    assert spectrum.frequency_per_mm[-1] == pytest.approx(1 / (2 * 0.8))


def test_half_the_noise_is_six_decibels_away_and_the_same_noise_none(noise: Any, regions: Any) -> None:
    target = noise_power(noise, regions, spacing_mm=SPACING)
    half = noise_power(40 + 0.5 * (noise - 40), regions, spacing_mm=SPACING)
    assert noise_power_distance(half, target) == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert noise_power_distance(target, target) == 0.0


def test_smoothing_takes_power_at_the_frequencies_of_its_transfer_function(noise: Any, regions: Any) -> None:
    sigma = 0.8
    smooth = noise_power(gaussian_filter(noise, (0, sigma, sigma)), regions, spacing_mm=SPACING)
    target = noise_power(noise, regions, spacing_mm=SPACING)
    middle = len(target.power) // 2
    transfer = np.exp(-2 * (np.pi * sigma * 0.8 * target.frequency_per_mm[middle]) ** 2) ** 2
    assert smooth.power[middle] / target.power[middle] == pytest.approx(transfer, rel=0.1)
    assert noise_power_distance(smooth, target) > 5


def test_a_prediction_without_any_noise_has_a_finite_distance(noise: Any, regions: Any) -> None:
    target = noise_power(noise, regions, spacing_mm=SPACING)
    assert noise_power_distance(
        noise_power(np.full_like(noise, 40), regions, spacing_mm=SPACING), target
    ) == pytest.approx(60)


def test_slow_shading_is_not_noise(noise: Any, regions: Any) -> None:
    shaded = noise + np.linspace(0, 300, 128, dtype=np.float32)
    plain = noise_power(noise, regions, spacing_mm=SPACING)
    assert noise_power_distance(noise_power(shaded, regions, spacing_mm=SPACING), plain) < 0.01


def test_regions_lie_in_homogeneous_soft_tissue_of_the_body() -> None:
    rng = np.random.default_rng(0)
    hu = rng.normal(40, 10, (4, 96, 96)).astype(np.float32)
    hu[:, :32] = -850  # lung
    hu[:, 32:64, :32] += 200 * (np.arange(32) % 2)  # structure
    body = np.ones(hu.shape, bool)
    body[:, 64:] = False
    regions = homogeneous_regions(hu, hu, spacing_mm=SPACING, body=body)
    assert regions.side == 32
    assert len(regions.corners) == 8
    assert set(map(tuple, regions.corners[:, 1:])) == {(32, 32), (32, 64)}


def test_nothing_homogeneous_gives_nothing() -> None:
    hu = np.full((3, 16, 16), 40.0)
    regions = homogeneous_regions(hu, hu, spacing_mm=SPACING, body=np.ones(hu.shape, bool))
    assert noise_power(hu, regions, spacing_mm=SPACING) is None
