"""A series on a grid of about 4 mm, and where the body is on it."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

#: In-plane spacing that bodies are looked at with, mm.
GRID_MM = 4.0

_BODY_HU = -300.0
_GAS_HU = -400.0
_BONE_HU = 200.0
_LIMITS_HU = (-1024.0, 2000.0)
# Components of the body smaller than this, or than this part of the largest, are table, tubes and clothes.
_SMALLEST_CM2 = 6.0
_SMALLEST_PART = 0.03
_IN_PLANE = ndimage.generate_binary_structure(2, 1)[None]
_FOUR = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3], bool)


@dataclass(frozen=True)
class Coarse:
    """A series on the coarse grid.

    Attributes
    ----------
    hu
        ``(D, h, w)`` float32, block means.
    spacing_mm
        ``(dy, dx)``.
    parts
        ``(D, h, w)`` int, components of the body in each slice, filled; 0 outside. No number occurs in two slices.
    body
        ``(D, h, w)`` bool: ``parts > 0``.
    """

    hu: np.ndarray
    spacing_mm: tuple[float, float]
    parts: np.ndarray
    body: np.ndarray

    @property
    def gas(self) -> np.ndarray:
        return self.body & (self.hu < _GAS_HU)

    @property
    def bone(self) -> np.ndarray:
        return self.body & (self.hu > _BONE_HU)


def coarse(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> Coarse:
    """Bring ``(D, H, W)`` HU of axial slices to the coarse grid and find the body in each slice."""
    rows, columns = (max(1, round(GRID_MM / spacing)) for spacing in spacing_mm[1:])
    small = _block_means(hu, rows, columns)
    spacing = (spacing_mm[1] * rows, spacing_mm[2] * columns)
    parts = _parts(small, spacing)
    return Coarse(small, spacing, parts, parts > 0)


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Components of ``(D, h, w)`` within the slices, numbered from 1, and how many there are."""
    labels, count = ndimage.label(mask, structure=_FOUR)
    return labels, int(count)


def _block_means(hu: np.ndarray, rows: int, columns: int) -> np.ndarray:
    height, width = max(1, hu.shape[1] // rows), max(1, hu.shape[2] // columns)
    rows, columns = min(rows, hu.shape[1]), min(columns, hu.shape[2])
    small = np.empty((len(hu), height, width), np.float32)
    for index, plane in enumerate(hu):
        whole = np.clip(np.nan_to_num(plane[: height * rows, : width * columns], nan=_LIMITS_HU[0]), *_LIMITS_HU)
        small[index] = whole.reshape(height, rows, width, columns).mean(axis=(1, 3), dtype=np.float32)
    return small


def _parts(hu: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    dense = hu > _BODY_HU
    # Over the edge the body goes on, so that one cut by the field of view is not opened away there.
    around = np.pad(dense, ((0, 0), (2, 2), (2, 2)), mode="edge")
    opened = ndimage.binary_opening(around, structure=_IN_PLANE, iterations=2)[:, 2:-2, 2:-2]
    body = ndimage.binary_dilation(opened, structure=_IN_PLANE) & dense
    filled = body | _enclosed(body)
    labels, count = components(filled)
    if count == 0:
        return labels
    size = np.bincount(labels.ravel(), minlength=count + 1).astype(np.float64) * spacing[0] * spacing[1] / 100.0
    size[0] = 0.0
    largest = np.array([size[np.unique(plane)].max() for plane in labels])
    at = np.zeros(count + 1)
    for index, plane in enumerate(labels):
        at[np.unique(plane)] = largest[index]
    keep = (size >= _SMALLEST_CM2) & (size >= _SMALLEST_PART * at)
    return np.where(keep[labels], labels, 0)


def _enclosed(body: np.ndarray) -> np.ndarray:
    """Holes: what is not body and does not reach the edge of its slice."""
    labels, count = components(~body)
    outside = np.zeros(count + 1, bool)
    outside[0] = True
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        outside[np.unique(edge)] = True
    return ~outside[labels]
