"""The visible mark: the word SYNTHETIC and the phase in the pixels of every slice, off the body."""

import math
import re
from dataclasses import dataclass

import numpy as np

from dicom_node.derive.lettering import letterings
from dicom_node.derive.pixels import StoredScale
from s2ldm_core.body import BODY_THRESHOLD_HU, body_footprint

#: Letters are at the top of 12 bit CT and their box is air: black and white at lung, soft tissue and bone windows.
_LETTERS_HU = 3071
_CONTRAST_HU = 4095
_STORED_MAX = 65535
#: Shares are added up in whole parts of 1.
_PARTS = 10_000
_PLACE = re.compile(r"Visible mark in rows (\d+)-(\d+), columns (\d+)-(\d+)\b")


@dataclass(frozen=True, kw_only=True)
class PlacedMark:
    """One mark at one place of every slice.

    Attributes
    ----------
    letters
        ``(h, w)`` bool: true on the letters, false in the box around them.
    row, column
        Of the box's first pixel, counted from 0.
    body_share
        Share of the box, over all slices, that may lie on the body; 0 where the mark hides nothing.
    """

    letters: np.ndarray
    row: int
    column: int
    body_share: float

    @property
    def box(self) -> tuple[slice, slice]:
        """Where the mark is, as slices of ``(H, W)``."""
        height, width = self.letters.shape
        return slice(self.row, self.row + height), slice(self.column, self.column + width)

    @property
    def place(self) -> str:
        """For the Derivation Description; `place_of` reads it back."""
        rows, columns = self.box
        return f"Visible mark in rows {rows.start + 1}-{rows.stop}, columns {columns.start + 1}-{columns.stop} of every slice."

    @property
    def warning(self) -> str:
        """What must be said when the mark may hide anatomy; else empty."""
        if not self.body_share:
            return ""
        percent = math.ceil(100 * self.body_share)
        return f"THE VISIBLE MARK MAY HIDE ANATOMY: no place is off the body in every slice (up to {percent} % of the mark)."

    def draw(self, stored: np.ndarray, *, scale: StoredScale) -> None:
        """Draw into ``(H, W)`` stored values of one slice, in place; padding under the mark is padding no more."""
        letters = int(np.clip(_LETTERS_HU - scale.intercept_hu, _CONTRAST_HU, _STORED_MAX))
        box = letters - _CONTRAST_HU
        if box == scale.padding:
            box += 1
        stored[self.box] = np.where(self.letters, letters, box)


def place_mark(
    text: str, hu: np.ndarray, spacing_mm: tuple[float, float, float], *, padding: np.ndarray | None = None
) -> PlacedMark | None:
    """Choose one place for the whole series.

    The first of these that is off the body in every slice: the corners, for each way to write the text; places along
    the edges, likewise. Among equals, where the least table and clothing lies. Where there is none, the place along
    the edges that covers the least body.

    Parameters
    ----------
    hu
        ``(D, H, W)`` synthetic HU; read slice by slice, so it may be a memory map.
    spacing_mm
        ``(dz, dy, dx)``.
    padding
        ``(D, H, W)`` bool, true where there is padding: free.

    Returns
    -------
    PlacedMark or None
        None when the matrix is too small for legible letters.
    """
    ways = letterings(text, shape=(hu.shape[1], hu.shape[2]))
    if not ways:
        return None
    body = _sums(body_footprint(hu, spacing_mm, padding=padding))
    dense = _sums(_dense_footprint(hu, padding))
    nearest: list[PlacedMark] = []
    for places in (_corners, _edges):
        for letters in ways:
            marks = [
                PlacedMark(letters=letters, row=row, column=column, body_share=_mean(body, letters.shape, row, column))
                for row, column in places((hu.shape[1], hu.shape[2]), letters.shape)
            ]
            mark = min(
                marks, key=lambda mark: (mark.body_share, _mean(dense, mark.letters.shape, mark.row, mark.column))
            )
            if not mark.body_share:
                return mark
            nearest.append(mark)
    return min(nearest, key=lambda mark: mark.body_share)


def place_of(derivation_description: str) -> tuple[slice, slice] | None:
    """Where a derived image says that its mark is, as slices of ``(H, W)``; None where it says nothing."""
    found = _PLACE.search(derivation_description)
    if found is None:
        return None
    top, bottom, left, right = map(int, found.groups())
    return slice(top - 1, bottom), slice(left - 1, right)


def _corners(shape: tuple[int, int], box: tuple[int, ...]) -> list[tuple[int, int]]:
    """(row, column) of the box in each corner; the upper ones first, as the table lies below."""
    down, right = shape[0] - box[0], shape[1] - box[1]
    return [(0, 0), (0, right), (down, 0), (down, right)]


def _edges(shape: tuple[int, int], box: tuple[int, ...]) -> list[tuple[int, int]]:
    """(row, column) of the box at every place along the edges."""
    down, right = shape[0] - box[0], shape[1] - box[1]
    along_rows = [(row, column) for row in (0, down) for column in range(right + 1)]
    return along_rows + [(row, column) for column in (0, right) for row in range(down + 1)]


def _dense_footprint(hu: np.ndarray, padding: np.ndarray | None) -> np.ndarray:
    """``(H, W)`` share of the slices in which a pixel is denser than lung: body, table, clothing."""
    count = np.zeros(hu.shape[1:], dtype=np.int64)
    for index in range(hu.shape[0]):
        dense = hu[index] > BODY_THRESHOLD_HU
        count += dense if padding is None else dense & ~padding[index]
    return count / hu.shape[0]


def _sums(share: np.ndarray) -> np.ndarray:
    """``(H + 1, W + 1)`` sums from the first pixel on, of shares in whole parts, so that nothing adds up to nothing."""
    parts = np.ceil(np.asarray(share, dtype=np.float64) * _PARTS).astype(np.int64)
    return np.pad(parts.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _mean(sums: np.ndarray, box: tuple[int, ...], row: int, column: int) -> float:
    """Mean share in a box."""
    below, right = row + box[0], column + box[1]
    total = sums[below, right] - sums[row, right] - sums[below, column] + sums[row, column]
    return float(total) / (_PARTS * box[0] * box[1])
