"""One row a configuration: the mean over its seeds, with an interval over them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from train.ablation.scores import ScanScore
from train.evaluation.scores import METRICS

_SHOWN = ("psnr_db", "ssim", "mae_body_hu", "nmse_energy", "nmae_rel", "noise_power_distance_db", "organ_error_hu")
COLUMNS = tuple(metric for key in _SHOWN for metric in METRICS if metric.key == key)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Mean over seeds of the mean over scans; ``half_width``: of the 95 % t interval over seeds, ``None`` with fewer than two."""

    mean: float
    half_width: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Cell:
        n = len(values)
        if n < 2:
            return cls(mean=float(values[0]), half_width=None, seeds=n)
        spread = float(np.std(values, ddof=1)) / math.sqrt(n)
        return cls(mean=float(np.mean(values)), half_width=float(student.ppf(0.975, n - 1)) * spread, seeds=n)

    def text(self, decimals: int) -> str:
        return f"{self.mean:.{decimals}f}" + ("" if self.half_width is None else f" ± {self.half_width:.{decimals}f}")


@dataclass(frozen=True, kw_only=True)
class AblationTable:
    """``cells[phase][row label][metric]``."""

    cells: Mapping[str, Mapping[str, Mapping[str, Cell]]]

    @classmethod
    def of(cls, scores: Sequence[ScanScore]) -> AblationTable:
        """From the scans' scores, in their order of systems."""
        cells: dict[str, dict[str, dict[str, Cell]]] = {}
        for phase in dict.fromkeys(score.phase for score in scores):
            of_phase = [score for score in scores if score.phase == phase]
            cells[phase] = {
                system: {
                    metric.key: Cell.of(_means([s for s in of_phase if s.system == system], metric.key))
                    for metric in COLUMNS
                }
                for system in dict.fromkeys(score.system for score in of_phase)
            }
        return cls(cells=cells)

    def markdown(self) -> str:
        heading = [
            "phase",
            "system",
            "seeds",
            *(" ".join(filter(None, (metric.title, metric.unit))) for metric in COLUMNS),
        ]
        lines = ["| " + " | ".join(heading) + " |", "|---" * len(heading) + "|"]
        for phase, rows in self.cells.items():
            for row, found in rows.items():
                seeds = next(iter(found.values())).seeds
                values = [found[metric.key].text(metric.decimals) for metric in COLUMNS]
                lines.append("| " + " | ".join([phase, row, str(seeds), *values]) + " |")
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        def plain(cell: Cell) -> dict[str, Any]:
            return {"mean": cell.mean, "half_width_95": cell.half_width, "seeds": cell.seeds}

        return json.dumps(
            {
                p: {row: {m: plain(c) for m, c in found.items()} for row, found in rows.items()}
                for p, rows in self.cells.items()
            },
            indent=1,
        )


def _means(scores: Sequence[ScanScore], metric: str) -> list[float]:
    """Mean over scans, one value a seed; scans in which the metric is undefined are left out."""
    values = []
    for seed in dict.fromkeys(score.seed for score in scores):
        scans = [score.values.get(metric) for score in scores if score.seed == seed]
        present = [value for value in scans if value is not None and math.isfinite(value)]
        values.append(float(np.mean(present)) if present else math.nan)
    return values
