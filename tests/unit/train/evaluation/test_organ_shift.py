"""The baseline that knows where organs are and what they gain on average."""

from pathlib import Path

import numpy as np
import pytest

from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.evaluation.cases import EvaluationCase
from train.evaluation.organ_shift import organ_shift
from train.store import write_case


def _case(labels: np.ndarray | None, organs: dict[str, int]) -> EvaluationCase:
    source = Volume(hu=np.full((4, 8, 8), 40.0, np.float32), affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    return EvaluationCase(
        name="x",
        patient="x",
        source=source,
        phases=("venous",),
        target=lambda phase: source,
        labels=labels,
        organs=organs,
    )


def test_an_organ_gains_the_mean_over_the_training_voxels_that_were_measured(tmp_path: Path) -> None:
    labels = np.zeros((4, 8, 8), np.uint8)
    labels[:2] = 7
    for name, gain, split in (("a", 50.0, "train"), ("b", 80.0, "train"), ("c", 999.0, "test")):
        change = np.where(labels == 7, gain, 3.0).astype(np.float32)
        change[0] = 5000.0
        valid = np.ones(labels.shape, bool)
        valid[0] = False
        write_case(
            tmp_path,
            name,
            spacing_mm=(3, 1.5, 1.5),
            native=np.full(labels.shape, 40.0, np.float32),
            changes={"venous": change},
            labels=labels,
            organs={"liver": 7},
            valid={"venous": valid},
            split=split,
            about={},
        )
    row = organ_shift("shift", tmp_path)
    # The same organ has another number in the scan that is answered.
    answer = row.answer(_case((labels == 7).astype(np.uint8) * 9, {"liver": 9, "spleen": 4}), None, "venous").hu
    np.testing.assert_allclose(answer[:2], 40.0 + 65.0, atol=0.1)
    np.testing.assert_array_equal(answer[2:], 40.0)
    with pytest.raises(TrainError) as refusal:
        row.answer(_case(None, {}), None, "venous")
    assert refusal.value.code == "labels_missing"
