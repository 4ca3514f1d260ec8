"""Evaluation: the right numbers for known systems, the same numbers after an interruption, and data from phantoms and stores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.evaluation import Candidate, Evaluation, EvaluationCase, HeldOut, Prediction, Report, StoreCases, identity
from train.evaluation.scores import METRICS
from train.evaluation.tissue import still_tissue
from train.store import write_case

SPACING = (3.0, 1.5, 1.5)
ORGANS = {"aorta": 1, "liver": 2, "subcutaneous_fat": 3}


def _body(depth: Any = 12, size: Any = 64) -> Any:
    """HU and labels of a fat cylinder with a liver half and an aorta in it, in air."""
    z, y, x = np.mgrid[:depth, :size, :size]
    radius = np.hypot(y - size / 2, x - size / 2)
    labels = np.zeros(z.shape, np.uint8)
    labels[radius < 28] = 3
    labels[(radius < 22) & (x < size / 2)] = 2
    labels[np.hypot(y - 40, x - 42) < 5] = 1
    return np.choose(labels, [-1000.0, 45.0, 55.0, -100.0]).astype(np.float32), labels


class Cylinders:
    """Cases of a cylinder patient: the aorta enhances by 200 HU, the liver by 50, fat not at all."""

    def __init__(self, count: Any = 3) -> None:
        self.names = tuple(f"cylinder-{number}" for number in range(count))
        self.loaded: list[str] = []

    def phases_of(self, name: Any) -> Any:
        return ("arterial",)

    def describe(self) -> Any:
        return {"data": "cylinders"}

    def load(self, name: Any) -> Any:
        self.loaded.append(name)
        rng = np.random.default_rng(self.names.index(name))
        hu, labels = _body()
        noisy = hu + rng.normal(0, 8, hu.shape).astype(np.float32)
        source = Volume(hu=noisy, affine=np.diag([*SPACING[::-1], 1.0]))
        change = np.choose(labels, [0.0, 200.0, 50.0, 0.0]).astype(np.float32)
        return EvaluationCase(
            name=name,
            patient=name,
            source=source,
            phases=("arterial",),
            labels=labels,
            organs=ORGANS,
            target=lambda phase: source.with_hu(noisy + change),
        )


def half(case: Any, target: Any, phase: Any) -> Any:
    return Prediction(hu=case.source.hu + 0.5 * (target.hu - case.source.hu))


def samples(case: Any, target: Any, phase: Any) -> Any:
    """A mean that is off by 10 HU where it is uncertain by 10 HU, and right where it is certain."""
    uncertain = target.hu - case.source.hu > 1
    return Prediction(
        hu=target.hu + np.where(uncertain, 10, 0), deviation_hu=np.where(uncertain, 10.0, 0.1).astype(np.float32)
    )


def _systems() -> Any:
    return [
        identity(),
        Candidate(label="half", kind="model", answer=half, identity="half 1"),
        Candidate(label="sampler", kind="samples", answer=samples, identity="sampler 1"),
    ]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("evaluation")
    evaluation = Evaluation(cases=Cylinders(), systems=_systems(), viewer_cases=1)
    records = evaluation.run(folder)
    return folder, evaluation, records


def _row(evaluated: Any, label: Any) -> Any:
    _, evaluation, records = evaluated
    return Report.of(evaluation, records).summaries[0].row(label)


def test_identity_recovers_nothing_and_half_the_change_half(evaluated: Any) -> None:
    assert _row(evaluated, "identity").organs["aorta"].recovery.value == 0.0
    for organ in ("aorta", "liver"):
        assert _row(evaluated, "half").organs[organ].recovery.value == pytest.approx(0.5, abs=1e-5)
    assert _row(evaluated, "half").organs["subcutaneous_fat"].recovery is None


def test_organ_means_are_those_of_the_labels(evaluated: Any) -> None:
    found = _row(evaluated, "half").organs["aorta"]
    assert found.target_hu - found.source_hu == pytest.approx(200, abs=0.01)
    assert found.predicted_hu.value == pytest.approx(found.source_hu + 100, abs=0.01)


def test_the_organ_error_is_that_of_the_organs_means_where_they_enhance(evaluated: Any) -> None:
    organs = _row(evaluated, "identity").organs.values()
    changes = [found.target_hu - found.source_hu for found in organs if found.target_hu - found.source_hu > 10]
    assert _row(evaluated, "identity").metrics["organ_error_hu"].value == pytest.approx(
        sum(changes) / len(changes), rel=1e-5
    )
    assert _row(evaluated, "half").metrics["organ_error_hu"].value == pytest.approx(
        sum(changes) / len(changes) / 2, rel=1e-5
    )


def test_half_the_change_has_half_the_error_of_identity(evaluated: Any) -> None:
    for key in ("mae_body_hu", "rmse_body_hu", "bias_body_hu"):
        assert _row(evaluated, "half").metrics[key].value == pytest.approx(
            0.5 * _row(evaluated, "identity").metrics[key].value, rel=1e-5
        )


def test_the_unclipped_error_sees_what_the_window_hides(evaluated: Any) -> None:
    metrics = _row(evaluated, "identity").metrics
    assert metrics["mae_body_hu"].value > metrics["mae_window_hu"].value


def test_every_metric_has_a_value_where_it_can_have_one(evaluated: Any) -> None:
    assert set(_row(evaluated, "half").metrics) == {metric.key for metric in METRICS}


def test_tissue_that_does_not_enhance_gives_the_registration_floor(evaluated: Any) -> None:
    """Source and target share their noise here, so nothing is left over in fat."""
    assert _row(evaluated, "identity").metrics["mae_still_hu"].value == pytest.approx(0, abs=1e-6)
    assert _row(evaluated, "identity").metrics["mae_body_hu"].value > 10


def test_samples_are_calibrated_against_the_truth(evaluated: Any) -> None:
    calibration = _row(evaluated, "sampler").calibration
    assert [round(row["error_hu"], 3) for row in calibration.rows] == [0.0, 10.0]
    assert calibration.ratio == pytest.approx(1.0, abs=0.01)
    assert calibration.cases == 3
    assert _row(evaluated, "half").calibration is None


def test_an_interrupted_evaluation_continues_and_gives_the_same_records(evaluated: Any, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(case: Any, phase: Any) -> None:
        if case == "cylinder-1":
            raise StoppedError

    with pytest.raises(StoppedError):
        Evaluation(cases=Cylinders(), systems=_systems(), viewer_cases=1).run(tmp_path, on_scan=stop)
    cases = Cylinders()
    again = Evaluation(cases=cases, systems=_systems(), viewer_cases=1).run(tmp_path)
    assert cases.loaded == ["cylinder-2"]
    expected = evaluated[2]
    assert [record.systems["half"].values for record in again] == [record.systems["half"].values for record in expected]


def test_scores_of_other_systems_are_not_mixed_in(evaluated: Any) -> None:
    folder, evaluation, _ = evaluated
    other = Evaluation(cases=evaluation.cases, systems=evaluation.systems[:2], viewer_cases=1)
    with pytest.raises(TrainError, match="other data, systems or settings"):
        other.run(folder)


def test_a_damaged_record_is_named(evaluated: Any, tmp_path: Path) -> None:
    Evaluation(cases=Cylinders(1), systems=_systems(), viewer_cases=0).run(tmp_path)
    (path,) = (tmp_path / "scans").glob("*.json")
    path.write_text(path.read_text()[:100])
    with pytest.raises(TrainError, match="cylinder-0"):
        Evaluation(cases=Cylinders(1), systems=_systems(), viewer_cases=0).run(tmp_path)


def test_a_system_is_only_asked_for_phases_it_knows(tmp_path: Path) -> None:
    systems = [identity(), Candidate(label="venous only", kind="model", answer=half, phases=("venous",))]
    (record,) = Evaluation(cases=Cylinders(1), systems=systems, viewer_cases=0).run(tmp_path)
    assert set(record.systems) == {"identity"}


def test_held_out_phantoms_have_noise_of_their_own_in_every_phase() -> None:
    held_out = HeldOut(seeds=(100_000,), matrix=(64, 64), slices=8, spacing_mm=(10.0, 6.0, 6.0))
    case = held_out.load("phantom-100000")
    clean = held_out.phantom(100_000)
    noise = [case.source.hu - clean.hu("native")] + [case.target(phase).hu - clean.hu(phase) for phase in case.phases]
    inside = np.abs(noise[0]) > 0.5
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(noise[first][inside], noise[second][inside])[0, 1]) < 0.2


def test_a_stores_split_is_read_with_its_patients_labels_and_shared_noise(tmp_path: Path) -> None:
    hu, labels = _body()
    noise = np.random.default_rng(0).normal(0, 8, hu.shape)
    for number, split in enumerate(("train", "test", "test")):
        write_case(
            tmp_path,
            f"case-{number}",
            spacing_mm=SPACING,
            native=hu,
            noise=noise,
            changes={"venous": np.full(hu.shape, 10.0)},
            labels=labels,
            organs=ORGANS,
            patient="one",
            split=split,
            about={},
        )
    cases = StoreCases(tmp_path, split="test", phases=("arterial", "venous"))
    assert cases.names == ("case-1", "case-2")
    case = cases.load("case-1")
    assert (case.patient, case.phases, case.source.spacing_mm) == ("one", ("venous",), SPACING)
    np.testing.assert_allclose(case.target("venous").hu - case.source.hu, 10.0, atol=1e-3)
    np.testing.assert_allclose(case.source.hu - hu, noise, atol=0.5)
    assert cases.describe()["patients"] == 1
    with pytest.raises(TrainError, match="any of the phases"):
        StoreCases(tmp_path, split="test", phases=("delayed",))


def test_still_tissue_is_fat_and_dense_bone_without_its_rim() -> None:
    hu, labels = _body()
    hu[:, 30:36, 14:20] = 700.0
    body = labels > 0
    by_hu = still_tissue(hu, spacing_mm=SPACING, body=body)
    by_label = still_tissue(hu, spacing_mm=SPACING, body=body, labels=labels, organs=ORGANS)
    assert by_hu[6, 32, 16]
    assert by_label.sum() > 1000
    for found in (by_hu, by_label):
        assert not found[labels == 1].any()
        assert not found[~body].any()
    assert set(labels[by_label]) == {3}


def test_results_keep_the_keys_that_a_package_carries(evaluated: Any) -> None:
    _, evaluation, records = evaluated
    record = json.loads(json.dumps(Report.of(evaluation, records).json()))
    row = record["results"]["arterial"]["half"]
    assert {"psnr_db", "ssim", "mae_body_hu", "enhancement_recovered", "intervals"} <= set(row)
    assert row["enhancement_recovered"] == {"aorta": 0.5, "liver": 0.5}
    low, high = row["intervals"]["psnr_db"]
    assert low <= row["psnr_db"] <= high
