"""A series' pixels on a coarse grid, for looking at rather than for translating."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dicom_node.series.enhancement import GRID_MM
from s2ldm_core.io.pixels import read_slice

#: So many slices at most, evenly spread: enough to see vessels, few enough to decode in a second or two.
MAX_SLICES = 48


def coarse_volume(
    paths: Sequence[Path], spacing_mm: tuple[float, float, float]
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """HU of a series near `dicom_node.series.enhancement.GRID_MM`, decoded slice by slice.

    Parameters
    ----------
    paths
        Files in order along the slice normal.
    spacing_mm
        ``(dz, dy, dx)`` of the series.

    Returns
    -------
    tuple
        ``(D, H, W)`` float32 HU, and the spacing ``(dz, dy, dx)`` of that grid.

    Raises
    ------
    VolumeError
        A file cannot be decoded; see `s2ldm_core.io.pixels.read_slice`.
    """
    stride = max(round(GRID_MM[0] / spacing_mm[0]), -(-len(paths) // MAX_SLICES), 1)
    rows, columns = (max(1, round(GRID_MM[1] / spacing)) for spacing in spacing_mm[1:])
    chosen = paths[:: min(stride, len(paths))]
    slices = [_block_means(read_slice(path)[0], rows, columns) for path in chosen]
    return np.stack(slices), (spacing_mm[0] * stride, spacing_mm[1] * rows, spacing_mm[2] * columns)


def _block_means(hu: np.ndarray, rows: int, columns: int) -> np.ndarray:
    height, width = hu.shape[0] // rows, hu.shape[1] // columns
    whole = np.maximum(hu[: height * rows, : width * columns], -1024.0)
    return whole.reshape(height, rows, width, columns).mean(axis=(1, 3), dtype=np.float32)
