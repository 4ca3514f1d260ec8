"""Per-organ mean shift, what a network has to beat at least: each organ moved by its mean gain in training; it is told the labels."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.evaluation.cases import EvaluationCase
from train.evaluation.systems import Candidate, Prediction
from train.store import PairStore

Shifts = dict[str, dict[str, float]]
"""Phase → organ → mean change in HU."""


def organ_shift(label: str, store: Path) -> Candidate:
    """The baseline of the training cases of ``store``; it answers cases with labels only.

    Raises
    ------
    TrainError
        ``labels_missing`` when no training case has labels, and by its answer when the case has none.
    """
    pairs = PairStore(store, split="train")
    shifts = _mean_changes(pairs)
    if not shifts:
        raise TrainError(
            "labels_missing", f"No training case of {store} has organ labels.", "Leave the organ shift out."
        )

    def answer(case: EvaluationCase, target: Volume, phase: str) -> Prediction:
        if case.labels is None:
            raise TrainError(
                "labels_missing",
                f"{case.name} has no organ labels, which the organ shift needs.",
                "Evaluate it on cases with labels.",
            )
        table = np.zeros(256, np.float32)
        for organ, value in case.organs.items():
            table[value] = shifts[phase].get(organ, 0.0)
        return Prediction(hu=case.source.hu + table[case.labels])

    return Candidate(
        label=label, kind="model", answer=answer, identity=f"organ shift of {pairs.digest()}", phases=tuple(shifts)
    )


def _mean_changes(pairs: PairStore) -> Shifts:
    total: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    voxels: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for case in (pairs[number] for number in range(len(pairs))):
        if case.labels is None:
            continue
        labels = np.asarray(case.labels).ravel()
        for phase, change in case.changes.items():
            known = slice(None) if phase not in case.valid else np.asarray(case.valid[phase]).ravel()
            seen = labels[known]
            count = np.bincount(seen, minlength=256)
            gained = np.bincount(seen, weights=np.asarray(change, np.float64).ravel()[known], minlength=256)
            for organ, value in case.organs.items():
                total[phase][organ] += float(gained[value])
                voxels[phase][organ] += float(count[value])
    return {
        phase: {organ: gained / voxels[phase][organ] for organ, gained in organs.items() if voxels[phase][organ]}
        for phase, organs in total.items()
    }
