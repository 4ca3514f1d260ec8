"""Sections through a series for people to look at: axial, coronal and sagittal, turned as radiologists see them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2ldm_core.errors import VolumeError
from s2ldm_core.geometry import SeriesGeometry
from s2ldm_core.io.header import image_name
from s2ldm_core.io.pixels import read_slices

#: In-plane pixels of what is kept of a slice: enough for a picture, and 1,600 slices stay below 300 MiB.
_MOST_PIXELS = 256
_LIMITS_HU = (-1024.0, 3071.0)

Slice = tuple[Path, int | None]
"""A file, and which frame of it where it holds several."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section.

    Attributes
    ----------
    name
        Plane and place, such as ``axial 3 of 6``.
    hu
        ``(h, w)`` float32; the patient's right (or front) is at the left, the head (or front) at the top.
    size_mm
        Height and width.
    """

    name: str
    hu: np.ndarray
    size_mm: tuple[float, float]


def sections(slices: Sequence[Slice], geometry: SeriesGeometry, *, axial: int) -> list[Section]:
    """So many axial sections from head to feet, and a coronal and a sagittal one through the middle.

    Parameters
    ----------
    slices
        In order along the slice normal.

    Raises
    ------
    VolumeError
        They cannot be decoded.
    """
    volume, spacing_mm = _turned(np.stack(list(_thinned(slices, geometry))), geometry)
    depth, height, width = volume.shape
    z_mm, y_mm, x_mm = (size * spacing for size, spacing in zip(volume.shape, spacing_mm, strict=True))
    levels = list(dict.fromkeys(int((number + 0.5) * depth / axial) for number in range(axial)))
    found = [Section(name=f"axial {level + 1} of {depth}", hu=volume[level], size_mm=(y_mm, x_mm)) for level in levels]
    found.append(Section(name="coronal", hu=volume[:, height // 2], size_mm=(z_mm, x_mm)))
    found.append(Section(name="sagittal", hu=volume[:, :, width // 2], size_mm=(z_mm, y_mm)))
    return found


def loose_slices(slices: Sequence[Slice], spacings_mm: Sequence[tuple[float, float]], *, most: int) -> list[Section]:
    """Slices of a series that forms no regular stack, as they are stored; those that cannot be decoded are left out.

    ``spacings_mm`` are those between rows and between columns of each.
    """
    found = []
    chosen = dict.fromkeys(int(number * len(slices) / most) for number in range(most)) if slices else ()
    for index in chosen:
        try:
            ((hu, _),) = read_slices([slices[index]])
        except VolumeError:
            continue
        rows_mm, columns_mm = spacings_mm[index]
        size_mm = hu.shape[0] * rows_mm, hu.shape[1] * columns_mm
        found.append(Section(name=f"image {index + 1} of {len(slices)}", hu=hu, size_mm=size_mm))
    return found


def _thinned(slices: Sequence[Slice], geometry: SeriesGeometry) -> Iterator[np.ndarray]:
    """``(h, w)`` int16 block means of each slice; what does not fill a block at the edge is left out."""
    for (path, _), (hu, _) in zip(slices, read_slices(slices), strict=True):
        if hu.shape != geometry.shape[1:]:
            raise VolumeError(
                "pixels_unreadable",
                f"The pixels of {image_name(path)} have shape {hu.shape}, its header says {geometry.shape[1:]}.",
                "The file is damaged: send it again.",
            )
        rows, columns = (max(1, -(-size // _MOST_PIXELS)) for size in hu.shape)
        height, width = hu.shape[0] // rows, hu.shape[1] // columns
        blocks = np.clip(hu[: height * rows, : width * columns], *_LIMITS_HU).reshape(height, rows, width, columns)
        yield np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.int16)


def _turned(volume: np.ndarray, geometry: SeriesGeometry) -> tuple[np.ndarray, tuple[float, float, float]]:
    """With axes from head to feet, from front to back and from right to left (LPS), and their spacing in mm."""
    along = geometry.affine[:3, :3][:, ::-1]  # columns as the array's axes: slice, row, column
    shape = np.array(geometry.shape) / np.array(volume.shape)
    spacing = np.array(geometry.spacing_mm) * shape
    cosines = along / np.linalg.norm(along, axis=0)
    z = int(np.argmax(np.abs(cosines[2])))
    y = int(np.argmax([-1.0 if axis == z else abs(cosines[1, axis]) for axis in range(3)]))
    x = 3 - z - y
    flipped = [axis for axis, row, sign in ((z, 2, -1.0), (y, 1, 1.0), (x, 0, 1.0)) if cosines[row, axis] * sign < 0]
    turned = np.flip(volume, tuple(flipped)).transpose(z, y, x)
    return turned, (float(spacing[z]), float(spacing[y]), float(spacing[x]))
