"""One picture per pair: native, contrast before and after registration, checkerboard and differences, in three planes."""

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from s2ldm_core.files import atomic_file

_DIFFERENCE_HU: Final = 150.0
_SQUARE_MM: Final = 30.0
_INCHES: Final = 15.0
_COLUMNS: Final = (
    "native",
    "contrast, before",
    "contrast, after",
    "checkerboard, after",
    "difference, before",
    "difference, after",
)


def picture(
    path: Path,
    *,
    native: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    spacing_mm: tuple[float, float, float],
    window_hu: tuple[float, float],
    title: str,
) -> None:
    """Write a PNG of axial, coronal and sagittal planes through the middle of the body.

    Parameters
    ----------
    native, before, after
        ``(D, H, W)`` HU on one canonical grid: the patient's right is on the picture's left, anterior or head is up.
    title
        Shown above; must name no patient.
    """
    depth, height, width = (size * step for size, step in zip(native.shape, spacing_mm, strict=True))
    tall = _INCHES / len(_COLUMNS) * (height + 2 * depth) / max(width, height)
    figure = Figure(figsize=(_INCHES, tall + 0.6), dpi=90, facecolor="black")
    FigureCanvasAgg(figure)
    gaps = {"wspace": 0.02, "hspace": 0.02, "left": 0.0, "right": 1.0, "bottom": 0.0, "top": tall / (tall + 0.6)}
    axes = figure.subplots(3, len(_COLUMNS), gridspec_kw={"height_ratios": (height, depth, depth), **gaps})
    middle = _middle(native)
    for row in range(3):
        planes = [np.take(array, middle[row], axis=row) for array in (native, before, after)]
        rest = [step for axis, step in enumerate(spacing_mm) if axis != row]
        if row:  # coronal and sagittal planes have the feet in row 0
            planes = [plane[::-1] for plane in planes]
        still, early, late = planes
        shown = (still, early, late, _checkers(still, late, rest), early - still, late - still)
        for column, plane in enumerate(shown):
            low, high = window_hu if column < 4 else (-_DIFFERENCE_HU, _DIFFERENCE_HU)
            axis = axes[row, column]
            axis.imshow(plane, cmap="gray" if column < 4 else "RdBu_r", vmin=low, vmax=high, aspect=rest[0] / rest[1])
            axis.set_axis_off()
            if row == 0:
                axis.set_title(_COLUMNS[column], color="white", fontsize=9)
    figure.suptitle(title, color="white", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, durable=False) as file:
        figure.savefig(file, format="png", facecolor="black", bbox_inches="tight")


def _middle(native: np.ndarray) -> tuple[int, int, int]:
    """Through the middle of what is denser than fat."""
    inside = np.argwhere(native[::2, ::4, ::4] > -50.0)
    centre = inside.mean(axis=0) * (2, 4, 4) if len(inside) else np.array(native.shape) / 2
    return int(centre[0]), int(centre[1]), int(centre[2])


def _checkers(one: np.ndarray, other: np.ndarray, spacing_mm: list[float]) -> np.ndarray:
    squares = [np.arange(size) * step // _SQUARE_MM for size, step in zip(one.shape, spacing_mm, strict=True)]
    board: np.ndarray = np.where((squares[0][:, None] + squares[1][None, :]) % 2 == 0, one, other)
    return board
