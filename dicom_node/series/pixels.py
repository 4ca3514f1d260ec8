"""A series' pixels for looking at rather than for translating: every slice is decoded once, for all rules that look."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicom_node.series.enhancement import GRID_MM
from s2ldm_core.errors import VolumeError
from s2ldm_core.geometry import SeriesGeometry
from s2ldm_core.io.header import image_name
from s2ldm_core.io.pixels import read_slices

#: So many slices at most, evenly spread: enough to see vessels, few enough to look at in a second or two.
MAX_SLICES = 48

# In-plane grid on which regions are told (`s2ldm_core.regions.grid`).
_REGION_MM = 4.0
_LIMITS_HU = (-1024.0, 2000.0)
# Every second pixel of a slice, or fewer where a series is so long that these take more than 256 MiB; all of a small one.
_STRIDE = 2
_MOST_SAMPLES = 2**26
_SMALL = 256 * 256
# `s2ldm_core.hounsfield` takes values below -1100 for padding.
_PADDING_HU = -2000.0

Spacing = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class SeriesPixels:
    """HU of a series, thinned out.

    Attributes
    ----------
    samples
        ``(D, h, w)`` float32: every n-th pixel of every slice, in order along the normal; padding at -2000.
    coarse, coarse_spacing_mm
        ``(d, h, w)`` float32 block means near `dicom_node.series.enhancement.GRID_MM` of at most `MAX_SLICES` slices,
        and ``(dz, dy, dx)``.
    axial, axial_spacing_mm
        ``(d, h, w)`` float32 block means of about 4 mm of all slices, turned so that the slices are axial, and
        ``(dz, dy, dx)``.
    """

    samples: np.ndarray
    coarse: np.ndarray
    coarse_spacing_mm: Spacing
    axial: np.ndarray
    axial_spacing_mm: Spacing


def read_pixels(slices: Sequence[tuple[Path, int | None]], geometry: SeriesGeometry) -> SeriesPixels:
    """Decode a series slice by slice; no more than one is in memory at its own resolution.

    Parameters
    ----------
    slices
        Files in order along the slice normal, and which frame of them; see `s2ldm_core.io.pixels.read_slices`.

    Raises
    ------
    VolumeError
        A file cannot be decoded, or its pixels are not what its header says; see `s2ldm_core.io.pixels.read_slice`.
    """
    spacing = geometry.spacing_mm
    every = min(max(round(GRID_MM[0] / spacing[0]), -(-len(slices) // MAX_SLICES), 1), len(slices))
    blocks, blocks_spacing = _blocks(spacing, GRID_MM[1])
    region, region_spacing = _blocks(spacing, _REGION_MM)
    stride = 1 if geometry.rows * geometry.columns <= _SMALL else _STRIDE
    stride = max(stride, math.ceil(math.sqrt(math.prod(geometry.shape) / _MOST_SAMPLES)))
    samples, coarse, regions = [], [], []
    for index, ((path, _), (hu, padding)) in enumerate(zip(slices, read_slices(slices), strict=True)):
        if hu.shape != geometry.shape[1:]:
            raise VolumeError(
                "pixels_unreadable",
                f"The pixels of {image_name(path)} have shape {hu.shape}, its header says {geometry.shape[1:]}.",
                "The file is damaged: send it again.",
            )
        if index % every == 0:
            coarse.append(_block_means(np.maximum(hu, -1024.0), *blocks))
        regions.append(_block_means(np.clip(hu, *_LIMITS_HU), *region))
        if padding is not None:
            hu[padding] = _PADDING_HU
        samples.append(hu[::stride, ::stride].copy())
    axial, axial_spacing = _axial(np.stack(regions), (spacing[0], *region_spacing), geometry.affine)
    return SeriesPixels(
        samples=np.stack(samples),
        coarse=np.stack(coarse),
        coarse_spacing_mm=(spacing[0] * every, *blocks_spacing),
        axial=axial,
        axial_spacing_mm=axial_spacing,
    )


def _blocks(spacing_mm: Spacing, grid_mm: float) -> tuple[tuple[int, int], tuple[float, float]]:
    """Rows and columns of a block near ``grid_mm``, and its height and width in mm."""
    rows, columns = (max(1, round(grid_mm / spacing)) for spacing in spacing_mm[1:])
    return (rows, columns), (spacing_mm[1] * rows, spacing_mm[2] * columns)


def _block_means(hu: np.ndarray, rows: int, columns: int) -> np.ndarray:
    rows, columns = min(rows, hu.shape[0]), min(columns, hu.shape[1])
    height, width = hu.shape[0] // rows, hu.shape[1] // columns
    whole = hu[: height * rows, : width * columns]
    return whole.reshape(height, rows, width, columns).mean(axis=(1, 3), dtype=np.float32)


def _axial(hu: np.ndarray, spacing_mm: Spacing, affine: np.ndarray) -> tuple[np.ndarray, Spacing]:
    """A volume of coronal or sagittal slices as one of axial slices; directions may still run either way."""
    # Columns of the affine are (column, row, slice); array axes are (slice, row, column). LPS: z is the last.
    along = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))[:, ::-1]
    z = int(np.argmax(along[2]))
    y = int(np.argmax(np.where(np.arange(3) == z, -1.0, along[1])))
    x = 3 - z - y
    spacing = spacing_mm[z], spacing_mm[y], spacing_mm[x]
    return np.ascontiguousarray(hu.transpose(z, y, x)), spacing
