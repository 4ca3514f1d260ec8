"""Validation pictures: NCCT, target, ours and their difference in three planes."""

import numpy as np

_DIFFERENCE_HU = 100.0
_SHOWN_HU = (-150.0, 350.0)
_INCHES_PER_MM = 1 / 90
_DPI = 80


def comparison(
    native: np.ndarray,
    target: np.ndarray,
    answer: np.ndarray,
    *,
    spacing_mm: tuple[float, float, float],
    window_hu: tuple[float, float],
    phase: str,
) -> np.ndarray:
    """``(rows, columns, 3)`` uint8: axial, coronal and sagittal planes of ``(D, H, W)`` HU volumes in LPS order, through the place that
    enhances most.

    Patient right is on the left, anterior (axial) or superior (coronal, sagittal) is up; sagittal planes look to the left of the page.
    """
    # Matplotlib without pyplot: no global state, no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    z, y, x = _place(target - native)
    low, high = max(window_hu[0], _SHOWN_HU[0]), min(window_hu[1], _SHOWN_HU[1])
    columns = (
        ("NCCT", native, "gray", (low, high)),
        (f"{phase}, true", target, "gray", (low, high)),
        (f"{phase}, ours", answer, "gray", (low, high)),
        (f"ours − true, ±{_DIFFERENCE_HU:.0f} HU", answer - target, "RdBu_r", (-_DIFFERENCE_HU, _DIFFERENCE_HU)),
    )
    dz, dy, dx = spacing_mm
    depth, height, width = (n * step for n, step in zip(native.shape, spacing_mm, strict=True))
    planes = (
        (lambda v: v[z], dy / dx),
        (lambda v: v[::-1, y], dz / dx),
        (lambda v: v[::-1, :, x], dz / dy),
    )
    figure = Figure(
        figsize=(4 * max(width, height) * _INCHES_PER_MM, (height + 2 * depth) * _INCHES_PER_MM + 0.3),
        dpi=_DPI,
        layout="constrained",
    )
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(3, 4, squeeze=False, height_ratios=(height, depth, depth))
    for number, (row, (plane, aspect)) in enumerate(zip(axes, planes, strict=True)):
        for axis, (title, volume, colours, (vmin, vmax)) in zip(row, columns, strict=True):
            axis.imshow(plane(volume), cmap=colours, vmin=vmin, vmax=vmax, aspect=aspect, interpolation="nearest")
            axis.set_axis_off()
            if number == 0:
                axis.set_title(title, fontsize=9)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _place(change: np.ndarray) -> tuple[int, int, int]:
    """Along each axis where most changes."""
    size = np.abs(change)
    z, y, x = (int(size.sum(axis=other).argmax()) for other in ((1, 2), (0, 2), (0, 1)))
    return z, y, x
