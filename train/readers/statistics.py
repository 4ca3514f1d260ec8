"""Statistics of reader studies that hold at a few patients: intervals take patients, not images or readers, as what was drawn.

They are about other patients before the same readers.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta
from scipy.stats import t as student

from train.evaluation.statistics import LEVEL


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share in [0, 1] with its interval."""

    value: float
    low: float
    high: float
    patients: int


def share(value: float, patients: int, *, level: float = LEVEL) -> Share:
    """The exact binomial interval (Clopper and Pearson, Biometrika 26:404, 1934) with the patients as trials.

    Exact where every patient gives one answer, right or wrong. Where a patient gives the mean of several, or ``value`` is an area under
    the ROC curve of as many patients of either kind, it is conservative: no such value varies more than that of as many single trials
    (for the area: van Dantzig's bound A (1 − A) / n). It never closes, not even where all answers are right.
    """
    hits, tail = value * patients, (1 - level) / 2
    low = float(beta.ppf(tail, hits, patients - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, patients - hits)) if hits < patients else 1.0
    return Share(value=value, low=low, high=high, patients=patients)


def roc_area(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Area under the ROC curve: how often one of ``higher`` is above one of ``lower``, ties half (Mann and Whitney's U)."""
    difference = np.subtract.outer(np.asarray(higher, dtype=np.float64), np.asarray(lower, dtype=np.float64))
    return float((np.sign(difference) + 1).mean() / 2)


Ratings = Sequence[Sequence[Hashable]]
"""Of every item, one rating a reader; all of the same readers."""


def fleiss_kappa(ratings: Ratings) -> float | None:
    """Agreement of readers beyond chance (Fleiss, Psychol Bull 76:378, 1971); ``None`` where all ratings are the same."""
    categories = sorted({one for row in ratings for one in row}, key=str)
    counts = np.array([[list(row).count(category) for category in categories] for row in ratings], dtype=np.float64)
    readers = counts.sum(1)[0]
    agreed = float(((np.square(counts).sum(1) - readers) / (readers * (readers - 1))).mean())
    expected = float(np.square(counts.sum(0) / counts.sum()).sum())
    return None if expected == 1 else (agreed - expected) / (1 - expected)


def cohen_kappa(first: Sequence[float], second: Sequence[float], *, weighted: bool = False) -> float | None:
    """Agreement of two readers beyond chance (Cohen, Educ Psychol Meas 20:37, 1960), with quadratic weights where ``weighted``
    (Psychol Bull 70:213, 1968); ``None`` where chance alone would agree."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)

    def distance(difference: np.ndarray) -> np.ndarray:
        return np.square(difference) if weighted else (difference != 0).astype(np.float64)

    expected = float(distance(np.subtract.outer(a, b)).mean())
    return None if expected == 0 else 1 - float(distance(a - b).mean()) / expected


def light_kappa(ratings: Sequence[Sequence[float]]) -> float | None:
    """Mean of all pairs' quadratically weighted kappa (Light, Psychol Bull 76:365, 1971): for grades, by two readers or more."""
    columns = np.asarray(ratings, dtype=np.float64).T
    pairs = [(i, j) for i in range(len(columns)) for j in range(i)]
    found = [cohen_kappa(columns[i].tolist(), columns[j].tolist(), weighted=True) for i, j in pairs]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A kappa; ``low`` and ``high`` are ``None`` where too few patients or no disagreement at all leave its spread unknown."""

    value: float
    low: float | None
    high: float | None
    items: int
    patients: int


def agreement(
    kappa: Callable[[list[Any]], float | None], rows: Mapping[str, Sequence[Any]], *, level: float = LEVEL
) -> Agreement | None:
    """``kappa`` of all rows (patient → rows) with a jackknife interval over patients, t of n − 1 degrees; ``None`` where undefined."""
    whole = kappa([row for patient in rows.values() for row in patient]) if rows else None
    if whole is None:
        return None
    n, low, high = len(rows), None, None
    left_out = rows if n > 2 else ()
    known = [
        value
        for patient in left_out
        if (value := kappa([row for other in rows if other != patient for row in rows[other]])) is not None
    ]
    if n > 2 and len(known) == n and np.ptp(known) > 0:
        error = math.sqrt((n - 1) / n * float(np.square(np.subtract(known, np.mean(known))).sum()))
        margin = float(student.ppf((1 + level) / 2, n - 1)) * error
        low, high = max(-1.0, whole - margin), min(1.0, whole + margin)
    return Agreement(value=whole, low=low, high=high, items=sum(map(len, rows.values())), patients=n)
