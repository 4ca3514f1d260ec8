"""Many configurations on the same data and budget, several seeds each, in one table (Table 2 of arXiv 2406.13977 and our own rows)."""

from train.ablation.plan import AblationPlan, AblationRow, load_plan
from train.ablation.results import evaluate_run, held_out_cases, prepare_store
from train.ablation.runs import AblationRun, runs, train
from train.ablation.scores import ScanScore, ScoreSheet
from train.ablation.table import AblationTable

__all__ = [
    "AblationPlan",
    "AblationRow",
    "AblationRun",
    "AblationTable",
    "ScanScore",
    "ScoreSheet",
    "evaluate_run",
    "held_out_cases",
    "load_plan",
    "prepare_store",
    "runs",
    "train",
]
