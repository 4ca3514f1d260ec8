"""Pictures for the report's slice viewer: a few slices of each plane of a volume, as one grey PNG a plane.

HU are companded into 8 bits (fine where soft tissue and vessels are, coarse in lung and bone), so that the page can show any window and
differences between images from the same pictures.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from s2ldm_core.body import body_box
from s2ldm_core.volume import Volume

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")

_KNOTS_HU = (-1000.0, -250.0, 350.0, 1300.0)
_KNOTS_BYTE = (0.0, 25.0, 225.0, 255.0)
"""30 HU a step up to -250 HU, 3 HU from there to 350 HU, 32 HU above."""

_LONGEST_SIDE = 208
_SLICES = 14
_MARGIN = 0.06
_COLUMNS = 4


SOURCE_IMAGE, TARGET_IMAGE = 0, 1


def system_image(number: int) -> int:
    """Number of the image of the evaluation's system ``number``."""
    return 2 + number


def deviation_image(number: int) -> int:
    """Number of the image of its standard deviation, where it has one."""
    return 1000 + number


DEVIATION_GAIN = 5
"""Deviations are pictured this many times larger, for steps of 0.6 HU."""


def to_bytes(hu: np.ndarray) -> np.ndarray:
    """HU of any shape → companded uint8."""
    return np.rint(np.interp(hu, _KNOTS_HU, _KNOTS_BYTE)).astype(np.uint8)


def byte_hu() -> list[float]:
    """HU that each of the 256 bytes stands for."""
    return [round(float(value), 2) for value in np.interp(np.arange(256), _KNOTS_BYTE, _KNOTS_HU)]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """How the slices of one plane are laid out in its picture: row by row, ``columns`` a row, each ``width`` × ``height`` pixels."""

    plane: Plane
    columns: int
    width: int
    height: int
    slices: tuple[int, ...]
    """Array index of each along the plane's axis."""
    spacing_mm: float
    """Between neighbouring indices."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which slices of a volume are shown, and how large; the same for every image of a case."""

    box: tuple[slice, slice, slice]
    sheets: tuple[Sheet, ...]

    @classmethod
    def of(
        cls, source: Volume, *, longest_side: int = _LONGEST_SIDE, most_slices: int = _SLICES, margin: float = _MARGIN
    ) -> Layout:
        """The body's box of ``source`` (canonical orientation), every plane at the same millimetres a pixel.

        At most ``longest_side`` pixels along its longest side, and ``most_slices`` of each plane, spread evenly over all but a share
        ``margin`` at both ends.
        """
        box = body_box(source.hu, source.spacing_mm)
        extent = [(part.stop - part.start) * spacing for part, spacing in zip(box, source.spacing_mm, strict=True)]
        pixel_mm = max(max(extent) / longest_side, min(source.spacing_mm))
        depth, height, width = (max(1, round(size / pixel_mm)) for size in extent)
        sizes = {"axial": (height, width), "coronal": (depth, width), "sagittal": (depth, height)}
        sheets = tuple(
            Sheet(
                plane=plane,
                columns=_COLUMNS,
                height=sizes[plane][0],
                width=sizes[plane][1],
                slices=_spread(box[axis].start, box[axis].stop, most=most_slices, margin=margin),
                spacing_mm=source.spacing_mm[axis],
            )
            for axis, plane in enumerate(PLANES)
        )
        return cls(box=box, sheets=sheets)


def picture(hu: np.ndarray, layout: Layout, sheet: Sheet) -> bytes:
    """The PNG of one plane of ``(D, H, W)`` canonical HU, oriented as radiologists read it.

    Axial: patient's right on the left, anterior up; coronal: right on the left, superior up; sagittal: anterior on the left, superior up.
    """
    rows = -(-len(sheet.slices) // sheet.columns)
    canvas = np.zeros((rows * sheet.height, sheet.columns * sheet.width), dtype=np.uint8)
    for number, index in enumerate(sheet.slices):
        plane = _slice(hu, layout, sheet.plane, index)
        image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
        small = image.resize((sheet.width, sheet.height), Image.Resampling.BILINEAR)
        top, left = (number // sheet.columns) * sheet.height, (number % sheet.columns) * sheet.width
        canvas[top : top + sheet.height, left : left + sheet.width] = to_bytes(np.asarray(small))
    data = io.BytesIO()
    Image.fromarray(canvas).save(data, format="PNG", compress_level=6)
    return data.getvalue()


class Gallery:
    """A scan's pictures on disk, ``<image>-<plane>.png``; see `SOURCE_IMAGE` and its neighbours."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.layout = layout

    def add(self, image: int, hu: np.ndarray) -> None:
        for sheet in self.layout.sheets:
            picture_path(self._folder, image, sheet.plane).write_bytes(picture(hu, self.layout, sheet))


def picture_path(folder: Path, image: int, plane: Plane) -> Path:
    return folder / f"{image}-{plane}.png"


def _slice(hu: np.ndarray, layout: Layout, plane: Plane, index: int) -> np.ndarray:
    slices, rows, columns = layout.box
    if plane == "axial":
        return hu[index, rows, columns]
    if plane == "coronal":
        return hu[slices, index, columns][::-1]
    return hu[slices, rows, index][::-1]


def _spread(start: int, stop: int, *, most: int, margin: float) -> tuple[int, ...]:
    """At most ``most`` indices spread evenly over the range but for a share ``margin`` at both ends."""
    count = min(most, stop - start)
    left_out = margin * (stop - start - 1)
    return tuple(round(float(value)) for value in np.linspace(start + left_out, stop - 1 - left_out, count))
