"""One row a configuration: the mean over its seeds, with an interval over them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from train.ablation.scores import ScanScore
from train.evaluation.scores import METRICS

_SHOWN = (
    "psnr_db",
    "ssim",
    "mae_body_hu",
    "mae_soft_hu",
    "nmse_energy",
    "nmae_rel",
    "noise_power_distance_db",
    "organ_error_hu",
)
COLUMNS = tuple(metric for key in _SHOWN for metric in METRICS if metric.key == key)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Mean over seeds of the mean over scans; ``half_width``: of the 95 % t interval over seeds, ``None`` with fewer than two."""

    mean: float
    half_width: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Cell":
        n = len(values)
        if n < 2:
            return cls(mean=float(values[0]), half_width=None, seeds=n)
        spread = float(np.std(values, ddof=1)) / math.sqrt(n)
        return cls(mean=float(np.mean(values)), half_width=float(student.ppf(0.975, n - 1)) * spread, seeds=n)

    def text(self, decimals: int) -> str:
        return f"{self.mean:.{decimals}f}" + ("" if self.half_width is None else f" ± {self.half_width:.{decimals}f}")


Rows = Mapping[str, Mapping[str, Cell]]
"""Cells by row label and metric."""


@dataclass(frozen=True, kw_only=True)
class AblationTable:
    """``cells[data][phase][row label][metric]``; a metric without a value in any scan has no cell."""

    cells: Mapping[str, Mapping[str, Rows]]

    @classmethod
    def of(cls, scores: Sequence[ScanScore]) -> "AblationTable":
        """From the scans' scores, in their order of systems."""
        cells: dict[str, dict[str, Rows]] = {}
        for data, phase in dict.fromkeys((score.data, score.phase) for score in scores):
            mine = [score for score in scores if (score.data, score.phase) == (data, phase)]
            cells.setdefault(data, {})[phase] = {
                system: _row([score for score in mine if score.system == system])
                for system in dict.fromkeys(score.system for score in mine)
            }
        return cls(cells=cells)

    def markdown(self) -> str:
        parts = [f"## {data.capitalize()}\n\n{_table(phases)}" for data, phases in self.cells.items()]
        return "\n".join(parts) if len(parts) > 1 else "".join(map(_table, self.cells.values()))

    def json(self) -> str:
        def plain(cell: Cell) -> dict[str, Any]:
            return {"mean": cell.mean, "half_width_95": cell.half_width, "seeds": cell.seeds}

        return json.dumps(
            {
                data: {
                    phase: {row: {m: plain(c) for m, c in found.items()} for row, found in rows.items()}
                    for phase, rows in phases.items()
                }
                for data, phases in self.cells.items()
            },
            indent=1,
        )


def _table(phases: Mapping[str, Rows]) -> str:
    columns = [m for m in COLUMNS if any(m.key in found for rows in phases.values() for found in rows.values())]
    heading = ["phase", "system", "seeds", *(" ".join(filter(None, (m.title, m.unit))) for m in columns)]
    lines = ["| " + " | ".join(heading) + " |", "|---" * len(heading) + "|"]
    for phase, rows in phases.items():
        for row, found in rows.items():
            seeds = max((cell.seeds for cell in found.values()), default=0)
            values = [found[m.key].text(m.decimals) if m.key in found else "–" for m in columns]
            lines.append("| " + " | ".join([phase, row, str(seeds), *values]) + " |")
    return "\n".join(lines) + "\n"


def _row(scores: Sequence[ScanScore]) -> dict[str, Cell]:
    means = {metric.key: _means(scores, metric.key) for metric in COLUMNS}
    return {key: Cell.of(values) for key, values in means.items() if values}


def _means(scores: Sequence[ScanScore], metric: str) -> list[float]:
    """Mean over scans, one value a seed; scans in which the metric is undefined are left out, and seeds without any."""
    values = []
    for seed in dict.fromkeys(score.seed for score in scores):
        scans = [score.values.get(metric) for score in scores if score.seed == seed]
        present = [value for value in scans if value is not None and math.isfinite(value)]
        if present:
            values.append(float(np.mean(present)))
    return values
