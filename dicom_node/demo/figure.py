"""The demo's picture: source, synthetic phases and what changed, at several levels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dicom_node.demo.check import Received
from dicom_node.demo.source import DemoSource
from s2ldm_core.body import BODY_THRESHOLD_HU

_WINDOW_HU = (-160.0, 340.0)
_CHANGE_HU = 300.0
_LEVELS = 3
#: Gains above this are vessels and kidneys.
_VESSEL_GAIN_HU = 80.0
_MOST_GAIN_HU = _CHANGE_HU - _VESSEL_GAIN_HU
#: Loss in blues, gain from red to white; black where nothing changes.
_CHANGE_COLOURS = (
    (0.0, "#a8e6ff"),
    (0.25, "#1f6fd0"),
    (0.5, "#000000"),
    (0.67, "#c81e1e"),
    (0.85, "#ffb300"),
    (1.0, "#ffffff"),
)


def draw(source: DemoSource, received: Sequence[Received], path: Path, *, model: str) -> None:
    """Write a PNG: rows are axial levels and a coronal section, columns the source, each phase, each change."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    from s2ldm_core.body import body_box
    from s2ldm_core.volume import canonical

    turned, _ = canonical(source.volume)
    box = body_box(turned.hu, turned.spacing_mm, padding=turned.padding)
    native = turned.hu[box]
    phases = [(one.phase, canonical(source.volume.with_hu(one.hu))[0].hu[box]) for one in received]
    dz, dy, dx = turned.spacing_mm
    sections = _sections(native, [hu for _, hu in phases])
    columns = 1 + 2 * len(phases)
    heights = [native.shape[1] * dy] * (len(sections) - 1) + [native.shape[0] * dz]
    width_mm = native.shape[2] * dx
    scale = 2.6 / width_mm
    figure = Figure(figsize=(columns * 2.6 + 0.9, sum(heights) * scale + 0.9), facecolor="black")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(sections),
        columns,
        height_ratios=heights,
        left=0.04,
        right=0.93,
        top=1 - 0.55 / figure.get_figheight(),
        bottom=0.35 / figure.get_figheight(),
        wspace=0.02,
        hspace=0.03,
    )
    change_colours = LinearSegmentedColormap.from_list("change", _CHANGE_COLOURS)
    change_image = None
    for row, (label, cut, aspect) in enumerate(
        [(f"axial {position + 1}/{native.shape[0]}", (position,), dy / dx) for position in sections[:-1]]
        + [("coronal", (slice(None, None, -1), sections[-1]), dz / dx)]
    ):
        panels = [("source", native[cut], False)]
        panels += [(f"{phase} (synthetic)", hu[cut], False) for phase, hu in phases]
        panels += [(f"{phase} − source", hu[cut] - native[cut], True) for phase, hu in phases]
        for column, (title, plane, is_change) in enumerate(panels):
            axes = figure.add_subplot(grid[row, column])
            low, high = (-_CHANGE_HU, _CHANGE_HU) if is_change else _WINDOW_HU
            image = axes.imshow(
                plane,
                cmap=change_colours if is_change else "gray",
                vmin=low,
                vmax=high,
                aspect=aspect,
                interpolation="bilinear",
            )
            change_image = image if is_change else change_image
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(title, color="white", fontsize=9)
            if column == 0:
                axes.set_ylabel(label, color="white", fontsize=8)
    if change_image is not None:
        bar = figure.colorbar(change_image, cax=figure.add_axes((0.945, 0.3, 0.012, 0.4)))
        bar.set_label("change, HU", color="white", fontsize=8)
        bar.ax.tick_params(colors="white", labelsize=7)
    figure.text(
        0.5,
        1 - 0.2 / figure.get_figheight(),
        f"{source.title}: SYNTHETIC contrast phases by {model} — research only, NOT FOR DIAGNOSIS",
        color="#ffd23f",
        ha="center",
        va="center",
        fontsize=10,
    )
    figure.text(
        0.5,
        0.14 / figure.get_figheight(),
        f"window {_WINDOW_HU[0]:.0f} to {_WINDOW_HU[1]:.0f} HU; patient's right on the left",
        color="0.7",
        ha="center",
        va="center",
        fontsize=7,
    )
    figure.savefig(path, dpi=110, facecolor="black")


def _sections(native: np.ndarray, phases: Sequence[np.ndarray]) -> list[int]:
    """Axial levels spread over the body, and last the coronal row, where most enhances."""
    depth = native.shape[0]
    levels = [round(depth * (step + 1) / (_LEVELS + 1)) for step in range(_LEVELS)][::-1]
    gain = np.zeros(native.shape[1])
    for hu in phases:
        for level, plane in zip(hu, native, strict=True):
            tissue = plane > BODY_THRESHOLD_HU  # the visible mark lies in air
            gain += np.where(tissue, np.clip(level - plane - _VESSEL_GAIN_HU, 0, _MOST_GAIN_HU), 0).sum(axis=1)
    coronal = int(np.argmax(gain)) if gain.max(initial=0.0) > 0 else native.shape[1] // 2
    return [*(min(level, depth - 1) for level in levels), coronal]
