"""The subcutaneous layer of another body over the same organs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from s2ldm_core.phantom.patient import REFERENCE
from train.anatomy.canvas import MapCanvas
from train.anatomy.habitus import field_of_view, refit_fat
from train.anatomy.names import CODES


def _canvas(fat_mm: float = 20.0) -> MapCanvas:
    """A cylinder of muscle under a layer of fat, on a 2 mm grid."""
    axes = (np.arange(6) * 3.0, (np.arange(110) - 54.5) * 2.0, (np.arange(110) - 54.5) * 2.0)
    radius = np.hypot(axes[1][:, None], axes[2][None, :])
    plane = np.where(
        radius < 50.0, CODES["liver"], np.where(radius < 50.0 + fat_mm, CODES["subcutaneous_fat"], 0)
    ).astype(np.uint8)
    top = np.repeat(plane[None], 6, axis=0)
    return MapCanvas(axes, top=top, under=top.copy(), share=np.full(top.shape, 255, np.uint8))


def _layer_mm(canvas: MapCanvas) -> float:
    """Mean thickness of the layer from the areas of body and muscle."""
    body, muscle = (np.count_nonzero(mask[3]) * 4.0 for mask in (canvas.top != 0, canvas.top == CODES["liver"]))
    return float(np.sqrt(body / np.pi) - np.sqrt(muscle / np.pi))


@pytest.mark.parametrize("wanted_mm", [9.0, 20.0, 40.0])
def test_the_layer_becomes_as_thick_as_the_patients(wanted_mm: float) -> None:
    canvas = _canvas()
    refit_fat(canvas, replace(REFERENCE, subcutaneous_fat_mm=wanted_mm), seed=3)
    assert _layer_mm(canvas) == pytest.approx(wanted_mm, rel=0.25)
    body = canvas.top[3] != 0
    np.testing.assert_array_equal(body, binary_fill_holes(body))


def test_what_is_under_the_fat_stays() -> None:
    canvas = _canvas()
    before = canvas.top == CODES["liver"]
    refit_fat(canvas, replace(REFERENCE, subcutaneous_fat_mm=6.0), seed=1)
    np.testing.assert_array_equal(canvas.top == CODES["liver"], before)


def test_a_map_cut_all_around_is_shown_within_its_circle() -> None:
    canvas = _canvas()
    field = field_of_view(canvas, seed=1, known_radius_mm=60.0)
    assert field is not None
    radius = np.sqrt(np.count_nonzero(field) * 4.0 / np.pi)
    assert 50.0 < radius < 60.0
