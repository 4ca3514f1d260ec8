"""A scan and what became of it in three planes, a row each: for whoever looks whether an answer is anatomy.

All rows have the same slices of the body's box, the same scale in millimetres and the same window; the patient's right is on the left.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from s2ldm_core.body import body_box
from s2ldm_core.volume import Volume, canonical

WINDOW_HU: Final = (-130.0, 350.0)
"""Shows fat and vessels of an arterial phase at once."""
DEVIATION_HU: Final = (0.0, 100.0)
"""Of how wrong an answer is, or may be."""
_AXIAL: Final = (0.2, 0.5, 0.8)
_CORONAL: Final = (0.36, 0.5)
_SAGITTAL: Final = (0.36, 0.5)
"""Places in the body's box, from the feet, the front and the right."""
_PIXEL_MM: Final = 1.4
_GAP: Final = 6
_COLUMN: Final = 1.5
"""So many times as high as an axial slice the other planes of a short stack may be, one below the other."""


def draw_planes(
    rows: Mapping[str, Volume],
    *,
    window_hu: tuple[float, float] = WINDOW_HU,
    windows_hu: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> Image.Image:
    """Grey picture of ``rows``, title → volume, all on the grid of the first, whose body's box they show; those that ``windows_hu`` names
    have a window of their own."""
    turned = {title: canonical(volume)[0] for title, volume in rows.items()}
    first = next(iter(turned.values()))
    box = body_box(first.hu, first.spacing_mm, padding=first.padding)
    return _below(
        [
            _titled(title, _row(volume.hu[box], first.spacing_mm, windows_hu.get(title, window_hu)))
            for title, volume in turned.items()
        ]
    )


def _row(hu: np.ndarray, spacing_mm: tuple[float, float, float], window_hu: tuple[float, float]) -> Image.Image:
    """Axial slices beside each other, then those of the other planes, one below the other where that is not much higher."""
    dz, dy, dx = spacing_mm
    depth, rows, columns = hu.shape

    def picture(plane: np.ndarray, height_mm: float, width_mm: float) -> Image.Image:
        low, high = window_hu
        grey = np.clip((plane - low) / (high - low) * 255.0, 0, 255).astype(np.uint8)
        size = max(1, round(width_mm / _PIXEL_MM)), max(1, round(height_mm / _PIXEL_MM))
        return Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)

    axial = [picture(hu[_at(depth, place)], rows * dy, columns * dx) for place in _AXIAL]
    others = [
        [picture(hu[::-1, _at(rows, place)], depth * dz, columns * dx) for place in _CORONAL],
        [picture(hu[::-1, :, _at(columns, place)], depth * dz, rows * dy) for place in _SAGITTAL],
    ]
    highest = _COLUMN * axial[0].height
    placed = [[_below(column)] if sum(one.height for one in column) <= highest else column for column in others]
    return _beside([*axial, *(one for column in placed for one in column)])


def _at(size: int, place: float) -> int:
    return min(size - 1, int(place * size))


def _beside(pictures: Sequence[Image.Image]) -> Image.Image:
    width = sum(one.width + _GAP for one in pictures) - _GAP
    whole, x = Image.new("L", (width, max(one.height for one in pictures))), 0
    for one in pictures:
        whole.paste(one, (x, 0))
        x += one.width + _GAP
    return whole


def _below(pictures: Sequence[Image.Image]) -> Image.Image:
    height = sum(one.height + _GAP for one in pictures) - _GAP
    whole, y = Image.new("L", (max(one.width for one in pictures), height)), 0
    for one in pictures:
        whole.paste(one, (0, y))
        y += one.height + _GAP
    return whole


def _titled(title: str, picture: Image.Image) -> Image.Image:
    ImageDraw.Draw(picture).text((4, 2), title, fill=255, stroke_width=2, stroke_fill=0)
    return picture
