"""Evaluation of the runs of an ablation on held-out phantoms, each in a folder of its own, so that it grows run by run."""

from __future__ import annotations

from collections.abc import Iterator

from s2ldm_core.package import ModelPackage
from train.ablation.plan import AblationPlan
from train.ablation.runs import AblationRun, runs
from train.evaluation import Candidate, Evaluation, HeldOut, candidates
from train.evaluation.records import ScanRecord
from train.phantoms import HELD_OUT, make_store

_AUTOENCODERS = ("ceiling", "autoencoder")


def prepare_store(plan: AblationPlan, *, workers: int = 1) -> Iterator[str]:
    """Make the plan's phantoms that its store lacks; yields their names."""
    return make_store(plan.store, seeds=range(plan.phantoms), phases=plan.phases, workers=workers)


def evaluate_run(plan: AblationPlan, run: AblationRun, *, device: str = "auto") -> tuple[list[ScanRecord], dict[str, str]]:
    """Records of ``run`` beside identity, and which label in them belongs to which row of the table; made once, then read."""
    systems = _systems(plan, run, device)
    scans = plan.held_out
    cases = HeldOut(
        seeds=tuple(range(HELD_OUT, HELD_OUT + scans.count)), slices=scans.slices, matrix=scans.matrix, spacing_mm=scans.spacing_mm,
        phases=plan.phases,
    )  # fmt: skip
    folder = plan.folder / "evaluation" / run.folder.name
    records = Evaluation(cases=cases, systems=systems, viewer_cases=0).run(folder)
    rows = {system.label: _row(system, run) for system in systems}
    return records, rows


def results(plan: AblationPlan, *, device: str = "auto") -> tuple[list[ScanRecord], dict[str, str]]:
    """All runs that are done: their records and label → row, in the plan's order with identity first."""
    records: list[ScanRecord] = []
    rows: dict[str, str] = {}
    order = {row.key: number for number, row in enumerate(plan.rows)}
    for run in sorted((run for run in runs(plan) if run.done), key=lambda run: (order[run.row.key], run.seed)):
        found, labels = evaluate_run(plan, run, device=device)
        records += found
        rows |= labels
    return records, rows


def _systems(plan: AblationPlan, run: AblationRun, device: str) -> list[Candidate]:
    ceilings = {run.label: run.folder} if run.row.ceiling else {}
    found = candidates({run.label: ModelPackage.load(run.package)}, ceilings=ceilings, device=device)
    return [system for system in found if run.row.ceiling or system.kind not in _AUTOENCODERS]


def _row(system: Candidate, run: AblationRun) -> str:
    if system.kind == "identity":
        return system.label
    return f"{run.row.label}: autoencoder ceiling" if system.kind in _AUTOENCODERS else run.row.label
