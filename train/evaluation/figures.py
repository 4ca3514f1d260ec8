"""The report's figures, as SVG: the same file goes into the page and beside it, for a paper."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from train.evaluation.records import ScanRecord
from train.evaluation.scores import LEAD, SMALLEST_CHANGE_HU
from train.evaluation.summary import ORGANS, PhaseSummary, Row

_COLOURS = ("#6b7280", "#1d4ed8", "#c2410c", "#047857", "#7c3aed", "#be123c", "#0e7490", "#a16207")


def figures(summaries: Sequence[PhaseSummary], records: Sequence[ScanRecord]) -> dict[str, str]:
    """Name → SVG; figures without data (organs without labels, spectra without regions) are left out."""
    with rc_context(
        {
            "font.size": 9.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 9.0,
            "axes.titleweight": "bold",
            "legend.frameon": False,
            "svg.hashsalt": "s2ldm",  # the same data give the same file
        }
    ):
        made = {
            "metrics": _metrics(summaries, records),
            "recovery": _recovery(summaries),
            "organs": _organs(summaries, records),
            "noise_power": _noise_power(summaries),
            "calibration": _calibration(summaries),
        }
        return {name: _svg(figure) for name, figure in made.items() if figure is not None}


def _metrics(summaries: Sequence[PhaseSummary], records: Sequence[ScanRecord]) -> Figure:
    """Every case as a point, the mean and its 95 % interval beside, metric by metric."""
    colours = _colours(summaries)
    figure = Figure(figsize=(2.3 * len(LEAD[:5]), 0.9 + 0.34 * len(colours) * len(summaries)), layout="constrained")
    grid = figure.subplots(len(summaries), 5, squeeze=False, sharey="row")
    for axes, summary in zip(grid, summaries, strict=True):
        for ax, metric in zip(axes, LEAD[:5], strict=True):
            for place, row in enumerate(summary.rows):
                values = [
                    value
                    for record in records
                    if record.phase == summary.phase
                    and row.label in record.systems
                    and (value := record.systems[row.label].values[metric.key]) is not None
                ]
                ax.plot(
                    values, np.full(len(values), place) + 0.16, "|", color=colours[row.label], alpha=0.55, markersize=6
                )
                found = row.metrics.get(metric.key)
                if found is not None:
                    ends = (
                        found.value if found.low is None else found.low,
                        found.value if found.high is None else found.high,
                    )
                    ax.plot(ends, (place, place), color=colours[row.label], linewidth=2)
                    ax.plot(found.value, place, "o", color=colours[row.label], markersize=5)
            ax.set_title(f"{metric.title}{f', {metric.unit}' if metric.unit else ''}")
            ax.grid(axis="x", alpha=0.25)
        axes[0].set_yticks(range(len(summary.rows)), [row.label for row in summary.rows])
        axes[0].set_ylim(len(summary.rows) - 0.4, -0.6)
        axes[0].set_ylabel(summary.phase, fontweight="bold")
    return figure


def _recovery(summaries: Sequence[PhaseSummary]) -> Figure | None:
    """Recovered enhancement by organ, of models only: identity is 0 by definition."""
    shown = [
        (s, [r for r in s.rows if r.kind != "identity" and any(o.recovery for o in r.organs.values())])
        for s in summaries
    ]
    shown = [(summary, rows) for summary, rows in shown if rows]
    if not shown:
        return None
    colours = _colours(summaries)
    figure = Figure(figsize=(9.5, 2.9 * len(shown)), layout="constrained")
    for ax, (summary, rows) in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        organs = [
            organ
            for organ, found in rows[0].organs.items()
            if organ in ORGANS and found.recovery and abs(found.target_hu - found.source_hu) >= SMALLEST_CHANGE_HU
        ]
        width = 0.8 / len(rows)
        for number, row in enumerate(rows):
            for place, organ in enumerate(organs):
                found = row.organs[organ].recovery
                if found is None:
                    continue
                x = place + (number - (len(rows) - 1) / 2) * width
                ax.bar(x, found.value, 0.9 * width, color=colours[row.label], label=row.label if place == 0 else None)
                if found.low is not None and found.high is not None:
                    ax.plot((x, x), (found.low, found.high), color="#111827", linewidth=0.9)
        ax.axhline(1, color="#111827", linewidth=0.8, linestyle="--")
        ax.set_xticks(range(len(organs)), [organ.replace("_", " ") for organ in organs], rotation=30, ha="right")
        ax.set_ylim(min(0, ax.get_ylim()[0]), min(3.0, ax.get_ylim()[1]))
        ax.set_ylabel("predicted / true change")
        ax.set_title(summary.phase, loc="left")
        ax.legend(ncols=4, loc="upper right")
    return figure


def _organs(summaries: Sequence[PhaseSummary], records: Sequence[ScanRecord]) -> Figure | None:
    """Predicted against true mean HU: a point is an organ of a case."""
    if not any(record.organs for record in records):
        return None
    colours = _colours(summaries)
    figure = Figure(figsize=(4.4 * len(summaries), 4.0), layout="constrained")
    for ax, summary in zip(figure.subplots(1, len(summaries), squeeze=False)[0], summaries, strict=True):
        for row in (row for row in summary.rows if row.kind != "identity"):
            points = [
                (truth.target_hu, record.systems[row.label].organ_hu[organ])
                for record in records
                if record.phase == summary.phase and row.label in record.systems
                for organ, truth in record.organs.items()
                if -200 < truth.target_hu < 600
            ]
            r = "" if row.organ_correlation is None else f" (r = {row.organ_correlation:.3f})"
            true, predicted = zip(*points, strict=True) if points else ((), ())
            ax.plot(true, predicted, ".", color=colours[row.label], alpha=0.5, markersize=4, label=row.label + r)
        ends = ax.get_xlim()
        ax.plot(ends, ends, color="#111827", linewidth=0.8, linestyle="--")
        ax.set_xlabel("acquired, mean HU of the organ")
        ax.set_ylabel("synthetic")
        ax.set_title(summary.phase, loc="left")
        ax.legend(loc="upper left", fontsize=8)
    return figure


def _noise_power(summaries: Sequence[PhaseSummary]) -> Figure | None:
    """Radial noise-power spectra, mean over cases."""
    shown = [summary for summary in summaries if summary.frequency_per_mm is not None and summary.power is not None]
    if not shown:
        return None
    colours = _colours(summaries)
    figure = Figure(figsize=(4.4 * len(shown), 3.2), layout="constrained")
    for ax, summary in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        frequency, power = np.asarray(summary.frequency_per_mm), np.asarray(summary.power)
        ax.semilogy(frequency, power, color="#111827", linewidth=2, label="acquired")
        for row in summary.rows:
            if row.power is not None:
                ax.semilogy(
                    frequency, np.maximum(row.power, power.max() * 1e-6), color=colours[row.label], label=row.label
                )
        ax.set_xlabel("radial frequency, cycles/mm")
        ax.set_ylabel("noise power, HU² mm²")
        ax.set_title(summary.phase, loc="left")
        ax.legend(fontsize=8)
    return figure


def _calibration(summaries: Sequence[PhaseSummary]) -> Figure | None:
    """Error of the samples' mean against their standard deviation."""
    shown = [(summary, [row for row in summary.rows if row.calibration is not None]) for summary in summaries]
    shown = [(summary, rows) for summary, rows in shown if rows]
    if not shown:
        return None
    colours = _colours(summaries)
    figure = Figure(figsize=(4.4 * len(shown), 3.6), layout="constrained")
    for ax, (summary, rows) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for row in rows:
            _calibration_curve(ax, row, colours[row.label])
        ends = (0, max(ax.get_xlim()[1], 1))
        ax.plot(ends, ends, color="#111827", linewidth=0.8, linestyle="--", label="error = deviation")
        ax.set_xlabel("standard deviation of the samples, HU")
        ax.set_ylabel("root mean square error, HU")
        ax.set_ylim(bottom=0)
        ax.set_title(summary.phase, loc="left")
        ax.legend(fontsize=8)
    return figure


def _calibration_curve(ax: Axes, row: Row, colour: str) -> None:
    if row.calibration is None:
        return
    bins = row.calibration.rows
    ax.plot(
        [b["predicted_hu"] for b in bins],
        [b["error_hu"] for b in bins],
        "o-",
        color=colour,
        markersize=4,
        label=row.label,
    )


def _colours(summaries: Sequence[PhaseSummary]) -> Mapping[str, str]:
    labels = dict.fromkeys(row.label for summary in summaries for row in summary.rows)
    return {label: _COLOURS[number % len(_COLOURS)] for number, label in enumerate(labels)}


def _svg(figure: Figure) -> str:
    data = io.StringIO()
    FigureCanvasSVG(figure)
    figure.savefig(data, format="svg", metadata={"Date": None})
    return data.getvalue()
