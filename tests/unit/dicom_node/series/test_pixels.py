"""A series' pixels thinned out for the rules."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.series.pixels import MAX_SLICES, read_pixels
from s2ldm_core.errors import VolumeError
from s2ldm_core.geometry import series_geometry

Writer = Callable[..., list[Path]]


def test_few_slices_of_a_long_series_are_looked_at_for_enhancement_and_all_for_units(write_ct_series: Writer) -> None:
    paths = write_ct_series(np.full((100, 8, 8), 40.0), spacing_mm=(1.0, 1.0, 1.0))

    seen = read_pixels([(path, None) for path in paths], series_geometry([dcmread(path) for path in paths]))

    assert seen.coarse.shape == (34, 4, 4)
    assert seen.coarse.shape[0] <= MAX_SLICES
    assert seen.coarse_spacing_mm == (3.0, 2.0, 2.0)
    assert seen.samples.shape == (100, 8, 8)
    assert seen.axial.shape == (100, 2, 2)
    for hu in (seen.coarse, seen.samples, seen.axial):
        np.testing.assert_allclose(hu, 40.0)


def test_coronal_slices_are_turned_to_axial_ones(write_ct_series: Writer) -> None:
    hu = np.zeros((12, 8, 16))
    hu[:, 4:] = 100.0  # feet, as the rows run down
    paths = write_ct_series(hu, spacing_mm=(3.0, 4.0, 4.0), orientation=(1, 0, 0, 0, 0, -1))

    seen = read_pixels([(path, None) for path in paths], series_geometry([dcmread(path) for path in paths]))

    assert seen.axial.shape == (8, 12, 16)
    assert seen.axial_spacing_mm == (4.0, 3.0, 4.0)
    assert seen.axial.mean(axis=(1, 2)).tolist() == [0.0] * 4 + [100.0] * 4


def test_padding_is_marked_as_such(write_ct_series: Writer) -> None:
    hu = np.full((4, 8, 8), 40.0)
    hu[:, 0, 0] = -1500.0
    paths = write_ct_series(hu, PixelPaddingValue=-476)

    seen = read_pixels([(path, None) for path in paths], series_geometry([dcmread(path) for path in paths]))

    assert seen.samples[:, 0, 0].tolist() == [-2000.0] * 4


def test_another_matrix_than_the_header_says_is_refused(write_ct_series: Writer) -> None:
    paths = write_ct_series(np.full((4, 8, 8), 40.0))
    geometry = series_geometry([dcmread(path) for path in paths])
    other = dcmread(paths[1])
    other.Rows, other.PixelData = 4, other.PixelData[:64]
    other.save_as(paths[1])

    with pytest.raises(VolumeError) as caught:
        read_pixels([(path, None) for path in paths], geometry)

    assert caught.value.code == "pixels_unreadable"
