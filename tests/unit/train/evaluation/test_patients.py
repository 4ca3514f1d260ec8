"""An evaluation of single patients of a store."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tiny_training import write_pair
from train.cli import app
from train.errors import TrainError
from train.evaluation import StoreCases


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for seed in range(2):
        write_pair(tmp_path, seed)
    return tmp_path


def test_an_evaluation_can_be_of_single_patients(store: Path) -> None:
    assert StoreCases(store, split="train", patients=("phantom-000001",)).names == ("phantom-000001",)
    with pytest.raises(TrainError, match="no case of nobody"):
        StoreCases(store, split="train", patients=("nobody",))


def test_patients_without_a_store_are_refused() -> None:
    result = CliRunner().invoke(app, ["evaluate", "demo", "--patient", "p0001"])
    assert isinstance(result.exception, TrainError)
    assert result.exception.code == "patient_without_store"
