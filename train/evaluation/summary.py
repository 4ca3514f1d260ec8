"""From records of single scans to what a table says: means with intervals, recovered enhancement, tests between systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from train.evaluation.dose import Dose, dose
from train.evaluation.records import ScanRecord
from train.evaluation.scores import METRICS
from train.evaluation.statistics import Comparison, Estimate, Paired, compare, correlation, estimate
from train.evaluation.systems import Kind
from train.evaluation.uncertainty import Calibration, pooled
from train.metrics import recovery

TESTED = ("mae_body_hu", "psnr_db", "ssim", "noise_power_distance_db", "mae_still_hu")
"""Metrics on which systems are compared pairwise."""

LEAD_ORGANS = ("aorta", "liver", "spleen", "renal_cortex", "portal_vein")
"""Organs of the table in the model card and on the command line."""

ORGANS = (
    "aorta",
    "left_ventricle",
    "pulmonary_artery",
    "ivc_suprarenal",
    "portal_vein",
    "splenic_vein",
    "hepatic_vein",
    "liver",
    "spleen",
    "pancreas",
    "renal_cortex",
    "renal_medulla",
    "myocardium",
    "psoas",
    "paraspinal",
    "gluteal",
    "subcutaneous_fat",
    "visceral_fat",
    "cortical_bone",
    "vertebral_marrow",
)
"""Organs of the report, what should enhance before what should not; the CSV has all."""


@dataclass(frozen=True, kw_only=True)
class OrganSummary:
    """One organ, system and phase; mean HU over cases."""

    source_hu: float
    target_hu: float
    predicted_hu: Estimate
    recovery: Estimate | None
    """Mean predicted change over mean true change; ``None`` where the truth changes by no more than 1 HU."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One system in one phase."""

    label: str
    kind: Kind
    metrics: Mapping[str, Estimate]
    organs: Mapping[str, OrganSummary]
    organ_correlation: float | None
    """Pearson's r of predicted and true mean HU over all organs and cases."""
    power: np.ndarray | None
    """Mean radial noise-power spectrum, HU² mm²."""
    seconds: float
    calibration: Calibration | None
    doses: tuple[Dose, ...]
    """Of each scan."""


@dataclass(frozen=True, kw_only=True)
class PhaseSummary:
    """All systems in one phase."""

    phase: str
    cases: int
    patients: int
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    frequency_per_mm: np.ndarray | None
    power: np.ndarray | None
    """The acquired phase's mean spectrum."""

    def row(self, label: str) -> Row | None:
        return next((row for row in self.rows if row.label == label), None)

    @property
    def registration_floor_hu(self) -> Estimate | None:
        """Identity's MAE on tissue that does not enhance: what misalignment and noise cost any model."""
        return next((row.metrics.get("mae_still_hu") for row in self.rows if row.kind == "identity"), None)


def summarise(records: Sequence[ScanRecord], kinds: Mapping[str, Kind]) -> list[PhaseSummary]:
    """One summary per phase, in the order in which phases and systems first occur; ``kinds``: label → what the system is."""
    phases = list(dict.fromkeys(record.phase for record in records))
    return [_phase(phase, [record for record in records if record.phase == phase], kinds) for phase in phases]


def as_results(summaries: Sequence[PhaseSummary]) -> dict[str, dict[str, dict[str, Any]]]:
    """``{phase: {system: {metric: mean, …}}}`` for JSON and a package's metadata.

    Beside the means: ``enhancement_recovered`` by organ, ``intervals`` and ``enhancement_intervals`` (95 %), ``organ_correlation``.
    """
    return {summary.phase: {row.label: _as_result(row) for row in summary.rows} for summary in summaries}


def _as_result(row: Row) -> dict[str, Any]:
    decimals = {metric.key: metric.decimals for metric in METRICS}
    recovered = {organ: row.organs[organ].recovery for organ in LEAD_ORGANS if organ in row.organs}
    present = {organ: found for organ, found in recovered.items() if found is not None}
    return {
        **{key: round(found.value, decimals[key]) for key, found in row.metrics.items()},
        "enhancement_recovered": {organ: round(found.value, 3) for organ, found in present.items()},
        "organ_correlation": None if row.organ_correlation is None else round(row.organ_correlation, 4),
        "intervals": {
            key: _interval(found, decimals[key]) for key, found in row.metrics.items() if found.low is not None
        },
        "enhancement_intervals": {
            organ: _interval(found, 3) for organ, found in present.items() if found.low is not None
        },
    }


def _interval(found: Estimate, decimals: int) -> list[float]:
    return [round(bound, decimals) for bound in (found.low, found.high) if bound is not None]


def _phase(phase: str, records: Sequence[ScanRecord], kinds: Mapping[str, Kind]) -> PhaseSummary:
    labels = [label for label in kinds if any(label in record.systems for record in records)]
    frequency = next((record.frequency_per_mm for record in records if record.frequency_per_mm is not None), None)
    return PhaseSummary(
        phase=phase,
        cases=len(records),
        patients=len({record.patient for record in records}),
        rows=tuple(
            _row(label, kinds[label], [record for record in records if label in record.systems], frequency)
            for label in labels
        ),
        comparisons=tuple(
            _comparisons(records, [label for label in labels if kinds[label] in ("identity", "model", "samples")])
        ),
        frequency_per_mm=None if frequency is None else np.asarray(frequency),
        power=_mean_power([record.power for record in records if record.frequency_per_mm == frequency]),
    )


def _row(label: str, kind: Kind, records: Sequence[ScanRecord], frequency: tuple[float, ...] | None) -> Row:
    systems = [record.systems[label] for record in records]
    metrics: dict[str, Estimate] = {}
    for metric in METRICS:
        pairs = [
            (value, record.patient)
            for record in records
            if (value := record.systems[label].values.get(metric.key)) is not None
        ]
        found = estimate([value for value, _ in pairs], [patient for _, patient in pairs])
        if found is not None:
            metrics[metric.key] = found
    calibrations = [system.calibration for system in systems if system.calibration is not None]
    points = [
        (record.systems[label].organ_hu[organ], truth.target_hu)
        for record in records
        for organ, truth in record.organs.items()
    ]
    return Row(
        label=label,
        kind=kind,
        metrics=metrics,
        organs=_organs(label, records),
        organ_correlation=correlation([p for p, _ in points], [t for _, t in points]),
        power=_mean_power([record.systems[label].power for record in records if record.frequency_per_mm == frequency]),
        seconds=float(np.mean([system.seconds for system in systems])),
        calibration=pooled(calibrations) if calibrations else None,
        doses=tuple(dose(record, label) for record in records),
    )


def _organs(label: str, records: Sequence[ScanRecord]) -> dict[str, OrganSummary]:
    names = dict.fromkeys(organ for record in records for organ in record.organs)
    found: dict[str, OrganSummary] = {}
    for organ in sorted(names, key=lambda name: (ORGANS.index(name) if name in ORGANS else len(ORGANS), name)):
        having = [record for record in records if organ in record.organs]
        patients = [record.patient for record in having]
        source = [record.organs[organ].source_hu for record in having]
        target = [record.organs[organ].target_hu for record in having]
        predicted = [record.systems[label].organ_hu[organ] for record in having]
        mean = estimate(predicted, patients)
        if mean is None:
            continue
        true_change = [t - s for t, s in zip(target, source, strict=True)]
        changes = recovery(1.0, float(np.mean(true_change))) is not None
        found[organ] = OrganSummary(
            source_hu=float(np.mean(source)),
            target_hu=float(np.mean(target)),
            predicted_hu=mean,
            recovery=estimate([p - s for p, s in zip(predicted, source, strict=True)], patients, over=true_change)
            if changes
            else None,
        )
    return found


def _comparisons(records: Sequence[ScanRecord], labels: Sequence[str]) -> list[Comparison]:
    pairs: list[Paired] = []
    for key in TESTED:
        for first, second in combinations(labels, 2):
            rows = [
                (a, b, record.patient)
                for record in records
                if first in record.systems
                and second in record.systems
                and (a := record.systems[first].values.get(key)) is not None
                and (b := record.systems[second].values.get(key)) is not None
            ]
            pairs.append(
                Paired(
                    metric=key,
                    first=first,
                    second=second,
                    first_values=[a for a, _, _ in rows],
                    second_values=[b for _, b, _ in rows],
                    patients=[patient for _, _, patient in rows],
                )
            )
    return compare(pairs)


def _mean_power(spectra: Sequence[tuple[float, ...] | None]) -> np.ndarray | None:
    known = [spectrum for spectrum in spectra if spectrum is not None]
    return np.mean(known, axis=0) if known else None
