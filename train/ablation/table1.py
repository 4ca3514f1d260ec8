"""Systems side by side as in Table 1 of arXiv 2406.13977: errors, PSNR and SSIM for each phase, then what else was measured."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import t as student

from train.ablation.cost import Cost
from train.ablation.scores import ScanScore
from train.evaluation.scores import METRICS, Metric

_BY_KEY = {metric.key: metric for metric in METRICS}
_PAPER = ("nmae_rel", "nmse_energy", "psnr_db", "ssim")
_FURTHER = ("mae_body_hu", "mae_soft_hu", "organ_error_hu", "organ_recovery", "noise_power_distance_db")
_FEWEST_FOR_INTERVAL = 4


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Mean over patients of the mean over a run's seeds.

    ``half_width``: of the 95 % t interval over patients, ``None`` for fewer than four, where it says nothing.
    """

    value: float
    half_width: float | None
    patients: int

    def text(self, decimals: int) -> str:
        return f"{self.value:.{decimals}f}" + ("" if self.half_width is None else f" ± {self.half_width:.{decimals}f}")


@dataclass(frozen=True, kw_only=True)
class Table1:
    """``means[data][phase][system][metric]``, and the costs of systems by label."""

    means: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Mean]]]]
    costs: Mapping[str, Cost]

    @classmethod
    def of(cls, scores: Sequence[ScanScore], costs: Mapping[str, Cost]) -> "Table1":
        """From the scans' scores, in their order of systems, and costs by label."""
        means: dict[str, dict[str, dict[str, dict[str, Mean]]]] = {}
        for data in dict.fromkeys(score.data for score in scores):
            of_data = [score for score in scores if score.data == data]
            means[data] = {
                phase: {
                    system: _means([s for s in of_data if (s.phase, s.system) == (phase, system)])
                    for system in dict.fromkeys(score.system for score in of_data)
                }
                for phase in dict.fromkeys(score.phase for score in of_data)
            }
        return cls(means=means, costs=costs)

    def markdown(self) -> str:
        parts: list[str] = []
        for data, phases in self.means.items():
            patients = max(mean.patients for rows in phases.values() for row in rows.values() for mean in row.values())
            parts.append(f"## {data.capitalize()} (n = {patients})\n")
            parts += [_table(phases, keys) for keys in (_PAPER, _FURTHER)]
        if self.costs:
            parts.append("## Cost of one volume\n")
            parts.append(_cost_table(self.costs))
        meanings = [f"- *{_BY_KEY[key].title}*: {_BY_KEY[key].meaning}." for key in (*_PAPER, *_FURTHER)]
        return "\n".join([*parts, "\n".join(meanings), ""])

    def json(self) -> str:
        plain = {
            data: {
                phase: {system: {key: asdict(mean) for key, mean in row.items()} for system, row in rows.items()}
                for phase, rows in phases.items()
            }
            for data, phases in self.means.items()
        }
        return json.dumps(
            {"means": plain, "costs": {label: cost.model_dump() for label, cost in self.costs.items()}}, indent=1
        )


def _means(scores: Sequence[ScanScore]) -> dict[str, Mean]:
    """Metrics without a value in any scan are left out."""
    found = {}
    for key in (*_PAPER, *_FURTHER):
        patients = []
        for case in dict.fromkeys(score.case for score in scores):
            values = [score.values.get(key) for score in scores if score.case == case]
            present = [value for value in values if value is not None]
            if present:
                patients.append(float(np.mean(present)))
        if patients:
            found[key] = Mean(value=float(np.mean(patients)), half_width=_half_width(patients), patients=len(patients))
    return found


def _half_width(values: Sequence[float]) -> float | None:
    n = len(values)
    if n < _FEWEST_FOR_INTERVAL:
        return None
    return float(student.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)


def _table(phases: Mapping[str, Mapping[str, Mapping[str, Mean]]], keys: Sequence[str]) -> str:
    columns = [(phase, _BY_KEY[key]) for phase in phases for key in keys]
    heading = ["", *(f"{phase} {_title(metric)}" for phase, metric in columns)]
    systems = list(dict.fromkeys(system for rows in phases.values() for system in rows))
    lines = ["| " + " | ".join(heading) + " |", "|---" * len(heading) + "|"]
    for system in systems:
        cells = [_cell(phases[phase].get(system, {}), metric) for phase, metric in columns]
        lines.append("| " + " | ".join([system, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _title(metric: Metric) -> str:
    return " ".join(filter(None, (metric.title, metric.unit)))


def _cell(row: Mapping[str, Mean], metric: Metric) -> str:
    return row[metric.key].text(metric.decimals) if metric.key in row else "–"


def _cost_table(costs: Mapping[str, Cost]) -> str:
    lines = ["| | parameters, million | seconds | memory, GiB | processor seconds |", "|---|---|---|---|---|"]
    for label, cost in costs.items():
        worked = "–" if cost.processor_seconds is None else f"{cost.processor_seconds:.2f}"
        cells = (label, f"{cost.parameters / 1e6:.2f}", f"{cost.seconds:.2f}", f"{cost.memory_gib:.2f}", worked)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
