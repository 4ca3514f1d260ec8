"""``s2ldm-train phantom``: options that do not go together are refused before anything is made."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from train.cli import app
from train.errors import TrainError


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--dose", "usual"], "dose_of_no_scan"),
        (["--dose", "usual", "--anatomy", "."], "dose_of_no_scan"),
        (["--dose", "usual", "--anatomy", ".", "--modes", "painted"], "dose_of_no_scan"),
        (["--dose", "double", "--anatomy", ".", "--modes", "unenhanced"], "dose_unknown"),
        (["--modes", "sung", "--anatomy", "."], "modes_unknown"),
        (["--times", "2", "--dicom"], "times_in_dicom"),
        (["--dicom", "--anatomy", "."], "dicom_of_anatomy"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: list[str], code: str) -> None:
    result = CliRunner().invoke(app, ["phantom", str(tmp_path / "store"), *options])
    assert isinstance(result.exception, TrainError)
    assert result.exception.code == code
    assert not (tmp_path / "store").exists()
