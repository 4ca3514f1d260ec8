"""Many configurations on the same data and budget, several seeds each, in one table (Table 2 of arXiv 2406.13977 and our own rows)."""

from train.ablation.plan import AblationPlan, AblationRow, load_plan
from train.ablation.results import evaluate_run, prepare_store, results
from train.ablation.runs import AblationRun, runs, train_missing
from train.ablation.table import AblationTable

__all__ = [
    "AblationPlan",
    "AblationRow",
    "AblationRun",
    "AblationTable",
    "evaluate_run",
    "load_plan",
    "prepare_store",
    "results",
    "runs",
    "train_missing",
]
