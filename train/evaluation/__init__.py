"""Systems side by side on the same cases, with identity and the autoencoder's ceiling always in the table.

>>> from train.evaluation import Evaluation, HeldOut, Report, candidates
>>> evaluation = Evaluation(cases=HeldOut.first(8), systems=candidates({"S2LDM": package}))  # doctest: +SKIP
>>> Report.of(evaluation, evaluation.run(folder)).write(folder)  # doctest: +SKIP
"""

from train.evaluation.cases import EvaluationCase, HeldOut, StoreCases
from train.evaluation.evaluation import Evaluation
from train.evaluation.report import Report
from train.evaluation.systems import Candidate, Prediction, candidates, ensemble, identity

__all__ = [
    "Candidate",
    "Evaluation",
    "EvaluationCase",
    "HeldOut",
    "Prediction",
    "Report",
    "StoreCases",
    "candidates",
    "ensemble",
    "identity",
]
