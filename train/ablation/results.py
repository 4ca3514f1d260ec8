"""Evaluation of the runs of an ablation on held-out phantoms, each in a folder of its own, so that it grows run by run."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

from s2ldm_core.package import ModelPackage
from train.ablation.plan import AblationPlan, StoredPairs
from train.ablation.runs import AblationRun
from train.ablation.scores import IDENTITY, PHANTOMS, ScanScore, ScoredOn, run_digest
from train.evaluation import Candidate, Evaluation, HeldOut, StoreCases, candidates
from train.evaluation.cases import Cases, EvaluationCase
from train.evaluation.organ_shift import organ_shift
from train.evaluation.records import ScanRecord, SystemRecord
from train.phantoms import HELD_OUT, make_store

_AUTOENCODERS = ("ceiling", "autoencoder")
#: A case of 512 × 512 × 64 in two phases takes 0.2 GiB.
_KEPT_CASES = 8


def prepare_store(plan: AblationPlan, *, workers: int = 1) -> Iterator[str]:
    """Make the plan's phantoms that its store lacks; yields their names."""
    return make_store(
        plan.store,
        seeds=range(plan.phantoms),
        phases=plan.phases,
        workers=workers,
        breathing_mm=plan.breathing_mm,
    )


def stored_pairs(plan: AblationPlan) -> dict[ScoredOn, Cases]:
    """The pairs of other stores that every trained run is scored on as well, where the plan has any."""
    return dict(_stored(each, plan.phases) for each in plan.pairs)


def _stored(pairs: StoredPairs, phases: tuple[str, ...]) -> tuple[ScoredOn, Cases]:
    cases = StoreCases(pairs.store, split=pairs.split, phases=phases)
    digest = str(cases.describe()["store_sha256"])[:12]
    scans = sum(len(cases.phases_of(name)) for name in cases.names)
    return ScoredOn(name=pairs.title, digest=digest, scans=scans), _Kept(cases)


def held_out_cases(plan: AblationPlan) -> Cases:
    """What every run of the plan is tested on; up to eight cases stay in memory from run to run."""
    scans = plan.held_out
    return _Kept(
        HeldOut(
            seeds=tuple(range(HELD_OUT, HELD_OUT + scans.count)),
            slices=scans.slices,
            matrix=scans.matrix,
            spacing_mm=scans.spacing_mm,
            phases=plan.phases,
        )
    )


def evaluate_run(
    plan: AblationPlan, run: AblationRun, *, cases: Cases, on: ScoredOn | None = None, device: str = "auto"
) -> list[ScanScore]:
    """Scores of a trained ``run``, its autoencoder's ceiling where the plan wants it, identity beside the plan's first run.

    ``cases``: from `held_out_cases`, or from `stored_pairs` with ``on``. Continues where it stopped.
    """
    on = on or ScoredOn(name=PHANTOMS, digest=plan.held_out_digest, scans=0)
    systems = _systems(plan, run, device)
    folder = plan.folder / "evaluation" / run.folder.name
    if on.name != PHANTOMS:
        folder = folder.with_name(f"{folder.name}-{on.digest}")
    records = Evaluation(cases=cases, systems=systems, viewer_cases=0).run(folder)
    names = {system.label: _name(system, run) for system in systems}
    return [
        _score(names[label], record, found, on, run) for record in records for label, found in record.systems.items()
    ]


def _score(name: str, record: ScanRecord, found: SystemRecord, on: ScoredOn, run: AblationRun) -> ScanScore:
    seed, digest = (None, "") if name == IDENTITY else (run.seed, run.digest)
    return ScanScore(
        data=on.name,
        system=name,
        seed=seed,
        run=run_digest(digest, on),
        phase=record.phase,
        case=record.case,
        values=found.values,
    )


def _systems(plan: AblationPlan, run: AblationRun, device: str) -> list[Candidate]:
    if run.row.baseline is not None:
        return [organ_shift(run.label, plan.store)]
    ceilings = {run.label: run.folder} if run.row.ceiling else {}
    found = candidates({run.label: ModelPackage.load(run.package)}, ceilings=ceilings, device=device)
    unwanted = {*(() if run.row.ceiling else _AUTOENCODERS), *(() if run.first else ("identity",))}
    return [system for system in found if system.kind not in unwanted]


def _name(system: Candidate, run: AblationRun) -> str:
    if system.kind == "identity":
        return IDENTITY
    return run.row.ceiling_label if system.kind in _AUTOENCODERS else run.row.label


class _Kept:
    """Cases that are made once and kept, where there are no more than `_KEPT_CASES`."""

    def __init__(self, cases: Cases) -> None:
        self._cases = cases
        self.load = lru_cache(_KEPT_CASES)(self._load)

    @property
    def names(self) -> tuple[str, ...]:
        return self._cases.names

    def phases_of(self, name: str) -> tuple[str, ...]:
        return self._cases.phases_of(name)

    def describe(self) -> dict[str, Any]:
        return self._cases.describe()

    def _load(self, name: str) -> EvaluationCase:
        case = self._cases.load(name)
        return replace(case, target=cache(case.target))
