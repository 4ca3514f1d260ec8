"""The files of an evaluation: tables as CSV, Markdown and JSON, figures as SVG, and one HTML page that holds everything itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.evaluation.evaluation import Evaluation
from train.evaluation.figures import figures
from train.evaluation.page import render, viewer_data
from train.evaluation.records import ScanRecord
from train.evaluation.scores import METRICS
from train.evaluation.statistics import LEVEL
from train.evaluation.summary import PhaseSummary, as_results, summarise
from train.evaluation.tables import counted, tables, write_csv, write_organ_csv


@dataclass(frozen=True, kw_only=True)
class Report:
    """Records of a finished evaluation and what they add up to."""

    evaluation: Evaluation
    records: Sequence[ScanRecord]
    summaries: Sequence[PhaseSummary]

    @classmethod
    def of(cls, evaluation: Evaluation, records: Sequence[ScanRecord]) -> Report:
        kinds = {system.label: system.kind for system in evaluation.systems}
        return cls(evaluation=evaluation, records=records, summaries=summarise(records, kinds))

    def json(self) -> dict[str, Any]:
        """What `s2ldm-train export --metrics` takes into a package's metadata."""
        return {
            **self.evaluation.cases.describe(),
            "window_hu": list(self.evaluation.window_hu),
            "results": as_results(self.summaries),
            "registration_floor_hu": {
                summary.phase: None if (floor := summary.registration_floor_hu) is None else round(floor.value, 2)
                for summary in self.summaries
            },
            "significance": {
                summary.phase: [
                    {
                        "metric": c.metric,
                        "first": c.first,
                        "second": c.second,
                        "median_difference": round(c.difference, 6),
                        "p": float(f"{c.p:.3g}"),
                        "p_holm": float(f"{c.p_holm:.3g}"),
                        "patients": c.patients,
                    }
                    for c in summary.comparisons
                ]
                for summary in self.summaries
            },
            "calibration": {
                summary.phase: {
                    row.label: {
                        "rank_correlation": row.calibration.rank_correlation,
                        "error_over_deviation": row.calibration.ratio,
                        "bins": row.calibration.rows,
                    }
                    for row in summary.rows
                    if row.calibration is not None
                }
                for summary in self.summaries
            },
        }

    def markdown(self) -> str:
        parts = ["# Evaluation", "", self.introduction(), ""]
        for summary in self.summaries:
            parts += [f"## {summary.phase}", ""]
            parts += [part for table in tables(summary) for part in (table.markdown(), "")]
        parts += ["## Metrics", "", *(f"- **{metric.title}**: {metric.meaning}." for metric in METRICS), ""]
        parts += ["## Reading the rows", "", *(f"- {note}" for note in self.notes())]
        return "\n".join(parts).rstrip() + "\n"

    def introduction(self) -> str:
        """One paragraph: data, window, number of cases, intervals."""
        about = self.evaluation.cases.describe()
        low, high = self.evaluation.window_hu
        return (
            f"{counted(len(self.evaluation.cases.names), 'case')} of "
            f"{counted(len({record.patient for record in self.records}), 'patient')}: {about['data']}. "
            f"Clipped metrics use the window [{low:g}, {high:g}] HU (R = {high - low:g} HU, never an image's own range). "
            f"Intervals: {LEVEL:.0%}, Student's t over patients."
        )

    def notes(self) -> list[str]:
        """What a reader must know to read the rows right."""
        kinds = {system.kind for system in self.evaluation.systems}
        notes = [
            "identity: the non-contrast scan as the answer. A number means nothing without this row: PSNR and SSIM are not comparable "
            "across data sets, windows or papers.",
            "Registration floor: identity's MAE on tissue that does not enhance (fat, bone): what misalignment and noise cost a model.",
        ]
        if "ceiling" in kinds:
            notes.append(
                "Autoencoder ceiling: the stage-1 autoencoder decodes the true latent, which bounds any denoiser behind it."
            )
        if "autoencoder" in kinds:
            notes.append(
                "Shipped autoencoder: the decoder after end-to-end fine-tuning, given the true latent. Fine-tuning has freed the model "
                "from it, so it bounds nothing; evaluate with --ceiling LABEL=RUN for the ceiling that stage 1 set."
            )
        if "samples" in kinds:
            notes.append("Mean of K: the mean of K samples; their standard deviation is the uncertainty.")
        return [*notes, *self._refusals()]

    def _refusals(self) -> list[str]:
        """What a node would have refused, by system; such answers count in all tables."""
        notes = []
        for system in self.evaluation.systems:
            answers = [(one, one.systems[system.label]) for one in self.records if system.label in one.systems]
            refused = [(one, answer.refusal) for one, answer in answers if answer.refusal]
            if refused:
                scan, why = refused[0]
                notes.append(
                    f"{system.label}: a node would refuse {len(refused)} of {len(answers)} answers, such as {scan.phase} of {scan.case}. "
                    f"{why} They count in every table; cases.csv names each."
                )
        return notes

    def write(self, folder: Path) -> None:
        """``cases.csv``, ``organs.csv``, ``summary.json``, ``report.md``, ``report.html`` and ``figures/*.svg``."""
        write_csv(folder / "cases.csv", self.records)
        write_organ_csv(folder / "organs.csv", self.records)
        (folder / "summary.json").write_text(json.dumps(self.json(), indent=1), encoding="utf-8")
        (folder / "report.md").write_text(self.markdown(), encoding="utf-8")
        drawn = figures(self.summaries, self.records)
        (folder / "figures").mkdir(exist_ok=True)
        for name, svg in drawn.items():
            (folder / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")
        page = render(
            introduction=self.introduction(),
            notes=self.notes(),
            summaries=self.summaries,
            figures=drawn,
            viewer=viewer_data(self.records, self.evaluation.systems, folder),
            systems=self.evaluation.systems,
        )
        (folder / "report.html").write_text(page, encoding="utf-8")
