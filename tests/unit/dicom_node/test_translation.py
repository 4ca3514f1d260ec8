"""The record that translation leaves for derivation."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom_node.errors import DeriveError
from dicom_node.translation import TranslationRecord, Uncertainty, load_uncertainty
from s2ldm_core.calibration import Calibration
from s2ldm_core.translation import Translation

RECORD = TranslationRecord(
    translation=Translation(
        phase="venous",
        model_name="demo",
        model_version="1.0",
        weights_sha256="ab" * 32,
        training_statement="digital phantom only",
        seed=7,
        steps=2,
        seconds={"load": 0.5, "step 1": 1.25},
    ),
    sop_instance_uids=("1.2.3.1", "1.2.3.2"),
)
CALIBRATION = Calibration(
    channels=(4,),
    half_widths=(0.7, 1.3, 2.0),
    coverage={"venous": {"aorta": (0.5, 0.8, 0.95)}},
    cases=3,
    weights_sha256="cd" * 32,
)
#: As version 0.1 writes it; jobs wait for derivation while the node is brought to another version.
WRITTEN = """{
 "format": 1,
 "phase": "venous",
 "model_name": "demo",
 "model_version": "1.0",
 "weights_sha256": "abababababababababababababababababababababababababababababababab",
 "training_statement": "digital phantom only",
 "seed": 7,
 "steps": 2,
 "sop_instance_uids": [
  "1.2.3.1",
  "1.2.3.2"
 ],
 "seconds": {
  "load": 0.5,
  "step 1": 1.25
 }
}"""


@pytest.fixture
def hu() -> np.ndarray:
    """(2, 2, 2) int16."""
    return np.arange(8, dtype=np.int16).reshape(2, 2, 2)


def test_record_comes_back_as_it_was_saved(hu: np.ndarray, tmp_path: Path) -> None:
    record, back, padding = TranslationRecord.load(RECORD.save(tmp_path, hu=hu, padding=None))
    assert record == RECORD
    assert padding is None
    np.testing.assert_array_equal(back, hu)


def test_record_of_the_version_before_is_read(hu: np.ndarray, tmp_path: Path) -> None:
    path = RECORD.save(tmp_path, hu=hu, padding=None)
    path.write_text(WRITTEN, encoding="utf-8")
    assert TranslationRecord.load(path)[0] == RECORD


def test_record_can_be_read_by_the_version_before(hu: np.ndarray, tmp_path: Path) -> None:
    path = RECORD.save(tmp_path, hu=hu, padding=None)
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(WRITTEN)


def test_what_a_time_is_put_together_of_and_its_dose_come_back(hu: np.ndarray, tmp_path: Path) -> None:
    summed = replace(RECORD.translation, phase="50s", shares={"arterial": 0.731, "venous": 0.27}, contrast_dose=0.8)
    record = replace(RECORD, translation=summed)
    assert TranslationRecord.load(record.save(tmp_path, hu=hu, padding=None))[0] == record


def test_uncertainty_comes_back_in_whole_hu_and_is_none_where_there_is_none(hu: np.ndarray, tmp_path: Path) -> None:
    spread = np.linspace(0, 70, 8, dtype=np.float32).reshape(2, 2, 2)
    told = Uncertainty(hu=spread, calibration=CALIBRATION.model_copy(update={"training_data": {"cases": 3}}))
    path = RECORD.save(tmp_path / "with", hu=hu, padding=None, uncertainty=told)
    back = load_uncertainty(path)
    assert back is not None
    np.testing.assert_array_equal(back.hu, np.rint(spread))
    assert np.issubdtype(back.hu.dtype, np.integer)
    assert back.calibration == CALIBRATION  # the version before knows no more of it
    assert "training_data" not in json.loads(path.read_text(encoding="utf-8"))["calibration"]
    assert TranslationRecord.load(path)[0] == RECORD
    assert load_uncertainty(RECORD.save(tmp_path / "without", hu=hu, padding=None)) is None


def test_uncertainty_that_is_gone_is_told_and_not_left_out(hu: np.ndarray, tmp_path: Path) -> None:
    path = RECORD.save(tmp_path, hu=hu, padding=None, uncertainty=Uncertainty(hu=hu, calibration=CALIBRATION))
    path.with_name("uncertainty.npy").unlink()
    with pytest.raises(DeriveError) as caught:
        load_uncertainty(path)
    assert caught.value.code == "translation_result_unreadable"


@pytest.mark.parametrize("change", [{"format": 2}, {"unknown": 1}, {"seed": ...}, {"sop_instance_uids": ...}])
def test_record_of_another_format_is_refused(hu: np.ndarray, tmp_path: Path, change: dict[str, object]) -> None:
    path = RECORD.save(tmp_path, hu=hu, padding=None)
    values = {key: value for key, value in (json.loads(WRITTEN) | change).items() if value is not ...}
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(DeriveError) as caught:
        TranslationRecord.load(path)
    assert caught.value.code == "translation_result_unreadable"
