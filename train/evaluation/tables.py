"""The report's tables: one structure, written as Markdown, shown in HTML, and every single case as CSV."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from train.evaluation.dose import ENHANCES_HU, FEWEST_VOXELS, STILL_HU, WITHIN, worst
from train.evaluation.records import ScanRecord
from train.evaluation.scores import FURTHER, LEAD, METRICS, SMALLEST_CHANGE_HU, Metric
from train.evaluation.statistics import Estimate
from train.evaluation.summary import ORGANS, PhaseSummary, Row

_SMALLEST_P_SHOWN = 0.001
_FEWEST_PATIENTS = 2


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table of finished cells; the first column is text, ``best`` marks the best cells as (row, column)."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", self.note, ""] if self.note else [f"### {self.title}", ""]
        lines += ["| " + " | ".join(_escaped(cell) for cell in self.header) + " |", "|" + "---|" * len(self.header)]
        for number, row in enumerate(self.rows):
            cells = [
                f"**{_escaped(c)}**" if (number, column) in self.best else _escaped(c) for column, c in enumerate(row)
            ]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)


def tables(summary: PhaseSummary) -> list[Table]:
    """All tables of one phase; those without data are left out."""
    made = [
        _metric_table(summary, LEAD, title=f"{summary.phase}: main metrics", note=_main_note(summary)),
        _recovery_table(summary),
        _organ_table(summary),
        _dose_table(summary),
        _metric_table(summary, FURTHER, title=f"{summary.phase}: further metrics", note="Mean [95 % interval]."),
        _comparison_table(summary),
        _calibration_table(summary),
    ]
    return [table for table in made if table is not None]


def write_csv(path: Path, records: Sequence[ScanRecord]) -> None:
    """One line per case, phase and system: every metric, and why a node would refuse the answer."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["case", "patient", "phase", "system", "seconds", *(metric.key for metric in METRICS), "refusal"]
        )
        for record in records:
            for label, system in record.systems.items():
                values = [
                    "" if (value := system.values.get(metric.key)) is None else f"{value:.6g}" for metric in METRICS
                ]
                writer.writerow(
                    [record.case, record.patient, record.phase, label, system.seconds, *values, system.refusal]
                )


def write_organ_csv(path: Path, records: Sequence[ScanRecord]) -> None:
    """One line per case, phase, system and organ: mean HU of source, target and prediction."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["case", "patient", "phase", "system", "organ", "voxels", "source_hu", "target_hu", "predicted_hu"]
        )
        for record in records:
            for label, system in record.systems.items():
                for organ, truth in record.organs.items():
                    hu = [f"{value:.3f}" for value in (truth.source_hu, truth.target_hu, system.organ_hu[organ])]
                    writer.writerow([record.case, record.patient, record.phase, label, organ, truth.voxels, *hu])


def show(found: Estimate | None, decimals: int, *, cases: int) -> str:
    """``29.36 [28.90, 29.81]``; with the number of cases where it is not ``cases``, such as ``0.82 (n 3) [0.70, 0.91]``; or a dash."""
    if found is None:
        return "–"
    text = f"{found.value:.{decimals}f}" + ("" if found.cases == cases else f" (n {found.cases})")
    return (
        text
        if found.low is None or found.high is None
        else f"{text} [{found.low:.{decimals}f}, {found.high:.{decimals}f}]"
    )


def _main_note(summary: PhaseSummary) -> str:
    floor = show(summary.registration_floor_hu, 2, cases=summary.cases)
    marked = "the best model is marked where it is better than the untouched scan"
    return f"Mean [95 % interval] of {counted(summary.cases, 'case')}; {marked}. Registration floor: {floor} HU."


def counted(number: int, noun: str) -> str:
    """``1 case``, ``2 cases``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _metric_table(summary: PhaseSummary, metrics: Sequence[Metric], *, title: str, note: str) -> Table:
    header = ("system", *(f"{metric.title}{f' {metric.unit}' if metric.unit else ''}" for metric in metrics))
    rows = tuple(
        (row.label, *(show(row.metrics.get(m.key), m.decimals, cases=summary.cases) for m in metrics))
        for row in summary.rows
    )
    best = set()
    for column, metric in enumerate(metrics, start=1):
        candidates = [
            (_distance(found.value, metric), number)
            for number, row in enumerate(summary.rows)
            if row.kind in ("model", "samples") and (found := row.metrics.get(metric.key)) is not None
        ]
        untouched = [
            _distance(found.value, metric)
            for row in summary.rows
            if row.kind == "identity" and (found := row.metrics.get(metric.key)) is not None
        ]
        if len(candidates) > 1 and min(candidates)[0] < min(untouched, default=float("inf")):
            best.add((min(candidates)[1], column))
    return Table(title=title, note=note, header=header, rows=rows, best=frozenset(best))


def _distance(value: float, metric: Metric) -> float:
    """How far a value is from what would be best; less is better."""
    return {"higher": -value, "lower": value, "zero": abs(value), "one": abs(value - 1)}[metric.better]


def _recovery_table(summary: PhaseSummary) -> Table | None:
    organs = [organ for organ in ORGANS if any(_recovered(row, organ) for row in summary.rows)]
    organs = [organ for organ in organs if _true_change(summary, organ) >= SMALLEST_CHANGE_HU]
    if not organs:
        return None
    return Table(
        title=f"{summary.phase}: enhancement recovered",
        note="Mean predicted over mean true change, 1 is right [95 % interval] (n: cases with the organ); r: correlation of organ means.",
        header=("system", *(organ.replace("_", " ") for organ in organs), "r"),
        rows=tuple(
            (
                row.label,
                *(show(_recovered(row, organ), 2, cases=summary.cases) for organ in organs),
                _plain(row.organ_correlation, 3),
            )
            for row in summary.rows
        ),
    )


def _organ_table(summary: PhaseSummary) -> Table | None:
    organs = [organ for organ in ORGANS if any(organ in row.organs for row in summary.rows)]
    if not organs:
        return None
    first = summary.rows[0].organs
    rows: list[tuple[str, ...]] = [
        ("NCCT", *(f"{first[organ].source_hu:.0f}" for organ in organs)),
        ("acquired", *(f"{first[organ].target_hu:.0f}" for organ in organs)),
    ]
    rows += [
        (row.label, *(f"{row.organs[organ].predicted_hu.value:.0f}" for organ in organs))
        for row in summary.rows
        if row.kind != "identity"
    ]
    return Table(
        title=f"{summary.phase}: mean HU by organ",
        note="What should enhance first, then muscle, fat and bone, which should hardly.",
        header=("system", *(organ.replace("_", " ") for organ in organs)),
        rows=tuple(rows),
    )


def _dose_table(summary: PhaseSummary) -> Table | None:
    rows = [row for row in summary.rows if any(dose.recovered or dose.still_hu for dose in row.doses)]
    if not any(dose.recovered for row in rows for dose in row.doses):
        return None
    low, high = WITHIN
    return Table(
        title=f"{summary.phase}: organs after one common factor",
        note=f"Nothing native tells the dose: each scan's factor is the median recovery of its organs that enhance (true change of "
        f"{ENHANCES_HU:g} HU and more). Within: an organ's recovery over that factor lies from {low:g} to {high:g}. Still: what truly "
        f"changes by {STILL_HU:g} HU at most is no more than that off. Organs of {FEWEST_VOXELS} voxels and more, over all scans; by "
        "median, the farthest first.",
        header=("system", "factor", "within", "not within", "still", "not still, HU"),
        rows=tuple(_dose_cells(row) for row in rows),
    )


def _dose_cells(row: Row) -> tuple[str, ...]:
    factors = [dose.factor for dose in row.doses if dose.factor is not None]
    shown = f"{min(factors):.2f} to {max(factors):.2f}" if len(factors) > 1 else "".join(f"{f:.2f}" for f in factors)
    wrong, moved = [dose.wrong for dose in row.doses], [dose.moved for dose in row.doses]
    return (
        row.label,
        shown or "–",
        _right([dose.recovered for dose in row.doses], wrong),
        _named(worst(wrong, by_ratio=True), ".2f"),
        _right([dose.still_hu for dose in row.doses], moved),
        _named(worst(moved, by_ratio=False), "+.0f"),
    )


def _right(found: Sequence[Mapping[str, float]], wrong: Sequence[Mapping[str, float]]) -> str:
    """How many organs of all scans are not among the wrong ones."""
    organs = sum(map(len, found))
    return f"{organs - sum(map(len, wrong))} of {organs}" if organs else "–"


def _named(organs: Sequence[tuple[str, float]], form: str) -> str:
    return ", ".join(f"{organ.replace('_', ' ')} {value:{form}}" for organ, value in organs) or "–"


def _comparison_table(summary: PhaseSummary) -> Table | None:
    if not summary.comparisons or summary.patients < _FEWEST_PATIENTS:
        return None
    metrics = [metric for metric in METRICS if any(c.metric == metric.key for c in summary.comparisons)]
    pairs = dict.fromkeys((c.first, c.second) for c in summary.comparisons)
    cells = {
        (c.first, c.second, metric.key): f"{c.difference:+.{metric.decimals}f} [p {_p(c.p_holm)}]"
        for metric in metrics
        for c in summary.comparisons
        if c.metric == metric.key
    }
    return Table(
        title=f"{summary.phase}: paired tests",
        note="Median difference over patients [p: Wilcoxon signed-rank, two-sided, Holm-corrected over this table]. "
        f"{summary.patients} patients; fewer than six cannot reach 0.05.",
        header=("systems", *(metric.title for metric in metrics)),
        rows=tuple((f"{a} − {b}", *(cells.get((a, b, metric.key), "–") for metric in metrics)) for a, b in pairs),
    )


def _calibration_table(summary: PhaseSummary) -> Table | None:
    rows = [
        (
            row.label,
            _plain(row.calibration.rank_correlation, 3),
            _plain(row.calibration.ratio, 2),
            ", ".join(f"{b['predicted_hu']:.1f} → {b['error_hu']:.1f}" for b in row.calibration.rows),
        )
        for row in summary.rows
        if row.calibration is not None
    ]
    if not rows:
        return None
    return Table(
        title=f"{summary.phase}: uncertainty",
        note="Does the error of the samples' mean grow with their standard deviation? The error holds the acquired scan's own noise too.",
        header=("system", "Spearman ρ of deviation and |error|", "error / deviation", "deviation → error, HU (bins)"),
        rows=tuple(rows),
    )


def _recovered(row: Row, organ: str) -> Estimate | None:
    return row.organs[organ].recovery if organ in row.organs else None


def _true_change(summary: PhaseSummary, organ: str) -> float:
    row: Row = next(row for row in summary.rows if organ in row.organs)
    return abs(row.organs[organ].target_hu - row.organs[organ].source_hu)


def _plain(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def _p(value: float) -> str:
    return f"< {_SMALLEST_P_SHOWN}" if value < _SMALLEST_P_SHOWN else f"{value:.3f}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
