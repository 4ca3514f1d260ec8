"""Sampling a map through the random deformation."""

from typing import Any

import numpy as np

from tests.tiny_anatomy import NAMES, SPACING_MM, label_map, native_ct
from train.anatomy import prepare
from train.anatomy.deformation import Deformation, sample_ct, sample_linear, sample_structures
from train.anatomy.names import CODES


def _subject(slices: Any = 10) -> Any:
    labels = label_map(slices)
    return prepare("a", labels, NAMES, spacing_mm=SPACING_MM, ct_hu=native_ct(labels))


def _own_axes(subject: Any) -> Any:
    return tuple(
        (np.arange(n) - c) * s for n, c, s in zip(subject.codes.shape, subject.centre, subject.spacing_mm, strict=True)
    )


def test_without_strength_a_subject_lies_where_it_lay() -> None:
    subject = _subject()
    indices = Deformation(3, strength=0.0).indices(_own_axes(subject), subject)
    np.testing.assert_allclose(indices, np.indices(subject.codes.shape), atol=1e-3)
    np.testing.assert_allclose(sample_ct(subject.ct_hu, indices), np.maximum(subject.ct_hu, -1024.0), atol=0.05)
    top, _, share = sample_structures(subject, indices, sharpness=2.0)
    assert np.mean(top == subject.codes) > 0.97
    assert share.min() >= 128


def test_a_deformation_follows_from_its_seed_alone() -> None:
    axes = tuple(np.linspace(-60, 60, 6) for _ in range(3))
    first, again, other = (Deformation(seed).indices(axes, _subject()) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1.0


def test_deformations_do_not_fold_the_body() -> None:
    subject = _subject(slices=60)
    axes = tuple(
        np.arange(-reach, reach + 1, 8.0) for reach in (48.0, 80.0, 80.0)
    )  # clear of the subject's first and last slice
    for seed in range(8):
        mm = Deformation(seed).indices(axes, subject) * 4.0
        gradient = np.stack([np.stack(np.gradient(mm[axis], 8.0), axis=-1) for axis in range(3)], axis=-2)
        assert np.linalg.det(gradient).min() > 0.15


def test_linear_samples_are_exact_on_a_ramp_and_zero_outside() -> None:
    ramp = np.fromfunction(lambda z, y, x: z + 2 * y + 3 * x, (4, 5, 6)).astype(np.float32)
    at = np.array([[1.5, 0.0], [2.25, -2.0], [3.5, 1.0]], np.float32).reshape(3, 1, 1, 2)
    np.testing.assert_allclose(sample_linear(ramp, at).ravel(), [1.5 + 4.5 + 10.5, 0.0], atol=1e-4)


def test_a_border_between_structures_is_smooth_between_coarse_voxels() -> None:
    subject = _subject()
    z, y, x = _own_axes(subject)
    fine = (z[4:6], y, np.arange(x[0], x[-1], 1.0))
    top, under, share = sample_structures(subject, Deformation(0, strength=0.0).indices(fine, subject), sharpness=1.0)
    liver = np.where(top == CODES["liver"], share, np.where(under == CODES["liver"], 255 - share, 0)).astype(int)
    assert np.abs(np.diff(liver[0, 23], axis=-1)).max() < 110
