"""Evaluation of the runs of an ablation on held-out phantoms, each in a folder of its own, so that it grows run by run."""

from __future__ import annotations

from collections.abc import Iterator

from s2ldm_core.package import ModelPackage
from train.ablation.plan import AblationPlan
from train.ablation.runs import AblationRun
from train.ablation.scores import IDENTITY, ScanScore
from train.evaluation import Candidate, Evaluation, HeldOut, candidates
from train.evaluation.records import ScanRecord, SystemRecord
from train.phantoms import HELD_OUT, make_store

_AUTOENCODERS = ("ceiling", "autoencoder")


def prepare_store(plan: AblationPlan, *, workers: int = 1) -> Iterator[str]:
    """Make the plan's phantoms that its store lacks; yields their names."""
    return make_store(plan.store, seeds=range(plan.phantoms), phases=plan.phases, workers=workers)


def evaluate_run(plan: AblationPlan, run: AblationRun, *, device: str = "auto") -> list[ScanScore]:
    """Scores of a trained ``run``, its autoencoder's ceiling where the plan wants it, and identity; continues where it stopped."""
    systems = _systems(plan, run, device)
    scans = plan.held_out
    cases = HeldOut(
        seeds=tuple(range(HELD_OUT, HELD_OUT + scans.count)), slices=scans.slices, matrix=scans.matrix, spacing_mm=scans.spacing_mm,
        phases=plan.phases,
    )  # fmt: skip
    folder = plan.folder / "evaluation" / run.folder.name
    records = Evaluation(cases=cases, systems=systems, viewer_cases=0).run(folder)
    names = {system.label: _name(system, run) for system in systems}
    return [_score(names[label], record, found, plan, run) for record in records for label, found in record.systems.items()]


def _score(name: str, record: ScanRecord, found: SystemRecord, plan: AblationPlan, run: AblationRun) -> ScanScore:
    seed, digest = (None, plan.held_out_digest) if name == IDENTITY else (run.seed, run.digest)
    return ScanScore(system=name, seed=seed, run=digest, phase=record.phase, case=record.case, values=found.values)


def _systems(plan: AblationPlan, run: AblationRun, device: str) -> list[Candidate]:
    ceilings = {run.label: run.folder} if run.row.ceiling else {}
    found = candidates({run.label: ModelPackage.load(run.package)}, ceilings=ceilings, device=device)
    return [system for system in found if run.row.ceiling or system.kind not in _AUTOENCODERS]


def _name(system: Candidate, run: AblationRun) -> str:
    if system.kind == "identity":
        return IDENTITY
    return run.row.ceiling_label if system.kind in _AUTOENCODERS else run.row.label
