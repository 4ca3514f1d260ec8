"""SSIM: agreement with scikit-image and MONAI in 2-D and 3-D, known values, and the traps of its data range."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from monai.metrics import SSIMMetric
from skimage.metrics import structural_similarity as skimage_ssim

from train.metrics import structural_similarity

SKIMAGE = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
KNOWN = (0.8926498070164911, 0.9242621625979895, 0.9040640189861687, 0.9262519944677748)


@pytest.fixture(scope="module")
def pair() -> Any:
    """More slices than are filtered at a time, and not a multiple of them; edges, noise, and values outside the window."""
    rng = np.random.default_rng(1)
    z, y, x = np.mgrid[:31, :61, :47]
    target = np.where((y - 30) ** 2 + (x - 23) ** 2 + (z - 15) ** 2 < 240, 60.0, -110.0) + rng.normal(0, 25, z.shape)
    target[:, :4] = -1000.0
    target[:, 28:32, 20:24] = 420.0
    return (target + rng.normal(0, 15, z.shape)).astype(np.float32), target.astype(np.float32)


def _shifted(hu: Any, low: Any = -200.0, high: Any = 200.0) -> Any:
    return np.clip(hu, low, high).astype(np.float64) - low


def test_axial_ssim_is_scikit_images(pair: Any) -> None:
    expected = np.mean(
        [skimage_ssim(_shifted(y), _shifted(p), data_range=400, **SKIMAGE) for p, y in zip(*pair, strict=True)]
    )
    assert structural_similarity(*pair).axial == pytest.approx(expected, abs=1e-11)


def test_volume_ssim_is_scikit_images(pair: Any) -> None:
    expected = skimage_ssim(_shifted(pair[1]), _shifted(pair[0]), data_range=400, **SKIMAGE)
    assert structural_similarity(*pair).volume == pytest.approx(expected, abs=1e-11)


def test_values_are_those_that_results_were_published_with(pair: Any) -> None:
    """Computed with a separable filter of our own, before scikit-image's was used."""
    where = pair[1] > 0
    both = structural_similarity(*pair, where=where)
    assert (both.axial, both.axial_where, both.volume, both.volume_where) == pytest.approx(KNOWN, abs=1e-11)


def test_memory_does_not_grow_with_the_number_of_slices() -> None:
    peaks = []
    for slices in (32, 256):
        volume = np.zeros((slices, 64, 64), np.float32)
        tracemalloc.start()
        structural_similarity(volume, volume)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_both_are_monais(pair: Any) -> None:
    p, y = (torch.from_numpy(_shifted(hu) / 400).double() for hu in pair)
    axial = SSIMMetric(spatial_dims=2, data_range=1.0)(p[:, None], y[:, None]).mean()
    volume = SSIMMetric(spatial_dims=3, data_range=1.0)(p[None, None], y[None, None]).mean()
    both = structural_similarity(*pair)
    assert both.axial == pytest.approx(float(axial), abs=1e-5)
    assert both.volume == pytest.approx(float(volume), abs=1e-5)


def test_masked_ssim_is_the_mean_of_the_map_at_the_masks_centres(pair: Any) -> None:
    prediction, target = pair
    where = np.zeros(target.shape, bool)
    where[3:30, 10:40, 8:30] = True
    maps = [
        skimage_ssim(_shifted(y), _shifted(p), data_range=400, full=True, **SKIMAGE)[1]
        for p, y in zip(*pair, strict=True)
    ]
    inner = (slice(None), slice(5, -5), slice(5, -5))
    both = structural_similarity(prediction, target, where=where)
    assert both.axial_where == pytest.approx(np.stack(maps)[inner][where[inner]].mean(), abs=1e-11)
    volume = skimage_ssim(_shifted(target), _shifted(prediction), data_range=400, full=True, **SKIMAGE)[1]
    inner = (slice(5, -5), slice(5, -5), slice(5, -5))
    assert both.volume_where == pytest.approx(volume[inner][where[inner]].mean(), abs=1e-11)


def test_equal_volumes_have_an_ssim_of_one(pair: Any) -> None:
    both = structural_similarity(pair[1], pair[1])
    assert both.axial == pytest.approx(1.0, abs=1e-12)
    assert both.volume == pytest.approx(1.0, abs=1e-12)


def test_the_window_and_not_the_images_sets_the_range(pair: Any) -> None:
    prediction, target = (hu.copy() for hu in pair)
    target[:, -1, -1] = prediction[:, -1, -1] = 200.0
    before = structural_similarity(prediction, target).axial
    target[:, -1, -1] = prediction[:, -1, -1] = 30_000.0
    assert structural_similarity(prediction, target).axial == before


def test_data_on_minus_one_to_one_would_give_another_number(pair: Any) -> None:
    """Not even with the right data range of 2: the luminance term is not invariant to a shift. That is why the definition fixes [0, R]."""
    p, y = (2 * _shifted(hu) / 400 - 1 for hu in pair)
    other = np.mean([skimage_ssim(b, a, data_range=2.0, **SKIMAGE) for a, b in zip(p, y, strict=True)])
    assert abs(structural_similarity(*pair).axial - other) > 0.002


def test_a_volume_smaller_than_the_window_has_no_3d_value_but_an_axial_one(pair: Any) -> None:
    thin = structural_similarity(pair[0][:10], pair[1][:10])
    assert thin.volume is None
    assert thin.axial is not None
    assert structural_similarity(pair[0][:, :10], pair[1][:, :10]).axial is None
