"""Many configurations, same data and budget, in one table: Table 2 of arXiv 2406.13977 and our own rows; all systems as in Table 1."""

from train.ablation.comparison import Comparison
from train.ablation.cost import Cost, CostSheet
from train.ablation.plan import AblationPlan, AblationRow, load_plan
from train.ablation.results import evaluate_run, held_out_cases, prepare_store
from train.ablation.runs import AblationRun, runs, train
from train.ablation.scores import ScanScore, ScoreSheet
from train.ablation.table import AblationTable
from train.ablation.table1 import Table1

__all__ = [
    "AblationPlan",
    "AblationRow",
    "AblationRun",
    "AblationTable",
    "Comparison",
    "Cost",
    "CostSheet",
    "ScanScore",
    "ScoreSheet",
    "Table1",
    "evaluate_run",
    "held_out_cases",
    "load_plan",
    "prepare_store",
    "runs",
    "train",
]
