"""A plan carried out: phantoms made, runs trained, scored and costed, what is measured written after each; an interrupted one goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from train.ablation.cost import CostSheet, cost_of
from train.ablation.plan import AblationPlan
from train.ablation.results import evaluate_run, held_out_cases, prepare_store, stored_pairs
from train.ablation.runs import AblationRun, runs, train
from train.ablation.scores import ScoreSheet


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """``plan``, whose configurations lie ``beside`` it; results in ``folder``."""

    plan: AblationPlan
    beside: Path
    folder: Path
    device: str = "auto"
    with_costs: bool = False

    def run(
        self,
        *,
        on_phantom: Callable[[], None] = lambda: None,
        on_run: Callable[[int, int], None] = lambda done, of: None,
        on_scores: Callable[[ScoreSheet, CostSheet], None],
    ) -> tuple[ScoreSheet, CostSheet]:
        """Do what is not done yet. ``on_run(done, of)`` and ``on_scores`` are called after each run.

        Raises
        ------
        TrainError
            Of a run that fails, of scores that cannot be read, or of pairs that the plan names and nobody finds.
        """
        every, pairs = runs(self.plan, beside=self.beside), stored_pairs(self.plan)
        sheet = ScoreSheet(self.folder, plan=self.plan, runs=every, sets=tuple(pairs))
        costs = CostSheet(self.folder)
        wanted = [run for run in every if not sheet.has(run) or self._costless(run, costs)]
        if self.plan.phantoms and any(not run.done or run.row.baseline is not None for run in wanted):
            for _ in prepare_store(self.plan, workers=self.plan.workers):
                on_phantom()
        phantoms = held_out_cases(self.plan)
        done = len(every) - len(wanted)
        on_run(done, len(every))
        for run in train(self.plan, wanted, beside=self.beside):
            if not sheet.has(run):
                sheet.add(evaluate_run(self.plan, run, cases=phantoms, device=self.device))
                if run.row.baseline is None:
                    for on, cases in pairs.items():
                        sheet.add(evaluate_run(self.plan, run, cases=cases, on=on, device=self.device))
            if self._costless(run, costs):
                case = phantoms.load(phantoms.names[0])
                cost = cost_of(
                    run.package,
                    case.source,
                    phase=self.plan.phases[0],
                    device=self.device,
                    threads=self.plan.threads,
                )
                costs.add(run.digest, cost)
            on_scores(sheet, costs)
            done += 1
            on_run(done, len(every))
        return sheet, costs

    def _costless(self, run: AblationRun, costs: CostSheet) -> bool:
        return self.with_costs and run.row.baseline is None and run.digest not in costs.costs
