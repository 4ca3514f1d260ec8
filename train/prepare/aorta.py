"""The aorta in axial slices: an even bright disc in front of the spine that is alike from slice to slice.

A stomach or bowel full of oral contrast is as bright as arterial blood, but it does not run along the spine with one brightness.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

_BONE_HU: Final = 180.0
_MIDLINE_MM: Final = 45.0
_LEAST_SPINE_CM2: Final = 2.0
# Seen from the middle of the vertebra's bone, canal and arch included: to the side, and towards the front.
_BESIDE_MM: Final = 45.0
_AHEAD_MM: Final = (5.0, 80.0)
_AREA_CM2: Final = (0.8, 20.0)
_LONGEST: Final = 2.5
_SAME_HU: Final = 0.2
_WITHIN_MM: Final = 35.0


@dataclass(frozen=True, kw_only=True)
class Disc:
    """A bright region in front of the spine: its HU and where its middle lies, mm from the spine's."""

    hu: float
    y_mm: float
    x_mm: float


def spine_of(hu: np.ndarray, body: np.ndarray, spacing_mm: tuple[float, float]) -> tuple[float, float] | None:
    """``(row, column)`` of the middle of the bone in the back half of the body's midline; ``None`` without any.

    Parameters
    ----------
    hu, body
        ``(H, W)`` HU of an axial slice with the front at row 0, and where the body is.
    """
    rows, columns = np.nonzero(body)
    if not rows.size:
        return None
    middle_row, middle_column = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    bone = (hu > _BONE_HU) & body
    bone[: int(middle_row)] = False
    away = np.abs(np.arange(hu.shape[1]) - middle_column) * spacing_mm[1] > _MIDLINE_MM
    bone[:, away] = False
    if bone.sum() * spacing_mm[0] * spacing_mm[1] < 100.0 * _LEAST_SPINE_CM2:
        return None
    found = np.argwhere(bone).mean(axis=0)
    return float(found[0]), float(found[1])


def discs(
    hu: np.ndarray, bright: np.ndarray, spine: tuple[float, float], spacing_mm: tuple[float, float]
) -> list[Disc]:
    """The even bright regions of a slice that the aorta may be.

    Parameters
    ----------
    bright
        ``(H, W)`` bool: plateaus (see `train.prepare.evidence.plateaus`).
    """
    labels, _ = ndimage.label(bright)
    found: list[Disc] = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[place] == number
        tall, wide = ((one.stop - one.start) * step for one, step in zip(place, spacing_mm, strict=True))
        area_cm2 = float(part.sum()) * spacing_mm[0] * spacing_mm[1] / 100.0
        if not _AREA_CM2[0] <= area_cm2 <= _AREA_CM2[1] or max(tall, wide) > _LONGEST * min(tall, wide):
            continue
        centre = np.argwhere(part).mean(axis=0) + [one.start for one in place]
        y_mm, x_mm = ((float(centre[axis]) - spine[axis]) * spacing_mm[axis] for axis in (0, 1))
        if abs(x_mm) <= _BESIDE_MM and _AHEAD_MM[0] <= -y_mm <= _AHEAD_MM[1]:
            found.append(Disc(hu=float(hu[place][part].mean()), y_mm=y_mm, x_mm=x_mm))
    return found


def tube(slices: Sequence[Sequence[Disc]]) -> tuple[float, float]:
    """HU of the tube that runs through most slices, and through which part of them it runs; 0 and 0 when there is none."""
    best: list[float] = []
    for seed in (disc for one in slices for disc in one):
        through = [
            min(near, key=lambda disc: abs(disc.hu - seed.hu)).hu
            for one in slices
            if (near := [disc for disc in one if _alike(seed, disc)])
        ]
        best = max(best, through, key=len)
    return (float(np.median(best)), len(best) / len(slices)) if best else (0.0, 0.0)


def _alike(seed: Disc, disc: Disc) -> bool:
    apart = float(np.hypot(disc.y_mm - seed.y_mm, disc.x_mm - seed.x_mm))
    return abs(disc.hu - seed.hu) <= _SAME_HU * seed.hu and apart <= _WITHIN_MM
