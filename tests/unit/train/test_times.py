"""Times between phases: the weights follow the kinetics, a package gets them, and evaluation asks for the time of the scan."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from s2ldm_core import Translator
from s2ldm_core.package import ModelPackage
from s2ldm_core.phantom.appearance import delay_seconds
from tests.tiny_model import write_tiny_package
from train.cli import app
from train.errors import TrainError
from train.evaluation.cases import HeldOut
from train.evaluation.systems import candidates
from train.times import Fit, fit_times, table

PHASES = {"arterial": 35.0, "venous": 72.0}


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fit_times(PHASES, earliest=25.0, latest=80.0)


def test_a_phase_counts_alone_at_its_own_time_and_the_sum_is_nearer_than_either_between(fit: Fit) -> None:
    assert fit.times.at(35.0) == {"arterial": 1.0}
    assert fit.times.at(72.0) == {"venous": 1.0}
    assert (fit.times.seconds[0], fit.times.seconds[-1]) == (25.0, 80.0)
    by_time = dict(zip(fit.times.seconds, zip(fit.between_hu, fit.nearest_hu, strict=True), strict=True))
    for seconds in (30.0, 40.0, 45.0, 50.0, 55.0, 60.0):
        between, nearest = by_time[seconds]
        assert between < 0.65 * nearest, seconds
    # Were patients not scanned as much earlier or later as their phases are, it would be 21 HU.
    assert by_time[50.0][0] == pytest.approx(18.8, abs=1.0)


def test_early_is_less_of_all_and_late_fills_what_empties_from_the_arteries(fit: Fit) -> None:
    """Before the arterial phase nothing of the venous one is there; between them organs gain more than in either."""
    early, late = fit.times.at(28.0), fit.times.at(52.0)
    assert early["arterial"] < 1.0
    assert early["venous"] < 0.0
    assert min(late.values()) > 0.4
    assert sum(late.values()) > 1.2


def test_the_table_has_a_row_for_each_second(fit: Fit) -> None:
    rows = table(fit).splitlines()
    assert rows[0] == "| seconds | arterial | venous | off by HU | nearest phase off by HU |"
    assert len(rows) == 2 + len(fit.times.seconds)
    assert "| 35 | 1.00 | 0.00 | 0.0 | 0.0 |" in rows


@pytest.mark.parametrize(
    ("phases", "ends", "code"),
    [
        ({"arterial": 35.0}, (25.0, 80.0), "times_phases"),
        ({"arterial": 35.0, "venous": 35.0}, (25.0, 80.0), "times_phases"),
        (PHASES, (80.0, 25.0), "times_range"),
    ],
)
def test_times_that_cannot_be_are_refused(phases: dict[str, float], ends: tuple[float, float], code: str) -> None:
    with pytest.raises(TrainError) as refused:
        fit_times(phases, earliest=ends[0], latest=ends[1])
    assert refused.value.code == code


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_the_command_writes_a_package_that_answers_for_times(tmp_path: Path) -> None:
    tiny = write_tiny_package(tmp_path / "tiny")
    seconds = ("--seconds", "arterial=35", "--seconds", "venous=72")
    made = run("times", tiny, tmp_path / "made", *seconds, "--version", "0.1.0")
    assert made.exit_code == 0, made.output
    package = ModelPackage.load(tmp_path / "made")
    package.verify()
    assert (package.metadata.version, package.metadata.offers("50s")) == ("0.1.0", True)
    assert "any time from 25s to 240s after the start of the injection" in (package.path / "README.md").read_text()
    assert package.metadata.weights_sha256 == ModelPackage.load(tiny).metadata.weights_sha256


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (("arterial=35",), "times_phases"),
        (("arterial=35", "delayed=180"), "times_phases"),
        (("arterial=35", "venous"), "bad_seconds"),
        (("arterial=35", "venous=soon"), "bad_value"),
        (("arterial=35", "venous=-1"), "bad_seconds"),
        (("arterial=35", "venous=nan"), "bad_seconds"),
    ],
)
def test_the_command_refuses_what_does_not_name_every_phase_s_time(
    seconds: tuple[str, ...], code: str, tmp_path: Path
) -> None:
    tiny = write_tiny_package(tmp_path / "tiny")
    given = [part for one in seconds for part in ("--seconds", one)]
    result = run("times", tiny, tmp_path / "made", *given, "--version", "0.1.0")
    assert isinstance(result.exception, TrainError)
    assert result.exception.code == code
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--tell", "seconds"), "tell_without_store"),
        (("--tell", "seconds=soon"), "bad_value"),
        (("--scanned", "arterial=50", "--tell", "contrast_dose"), "tell_without_store"),
        (("--scanned", "arterial"), "bad_seconds"),
        (("--scanned", "delayed=180"), "scanned_unknown"),
        (("--scanned", "arterial=50", "--store", "elsewhere"), "scanned_store"),
    ],
)
def test_evaluate_refuses_times_that_nobody_can_tell(options: tuple[str, ...], code: str, tmp_path: Path) -> None:
    result = run("evaluate", f"tiny={write_tiny_package(tmp_path / 'tiny')}", *options)
    assert isinstance(result.exception, TrainError)
    assert result.exception.code == code


def test_phantoms_scanned_at_another_time_say_so_and_the_package_is_asked_for_it(tmp_path: Path) -> None:
    seconds = {"arterial": 50.0}
    cases = HeldOut(seeds=(100_000,), matrix=(64, 64), slices=8, spacing_mm=(8.0, 6.0, 6.0), seconds=seconds)
    assert cases.describe()["seconds"] == seconds
    case, usual = (
        cases.load(cases.names[0]),
        HeldOut(seeds=(100_000,), matrix=(64, 64), slices=8, spacing_mm=(8.0, 6.0, 6.0)),
    )
    assert "seconds" not in usual.describe()
    phantom = cases.phantom(100_000)
    late = phantom.hu(50.0 + delay_seconds(phantom.patient), noise_seed=2 * 100_000 + 1 + 10_000_000)
    assert np.array_equal(case.target("arterial").hu, late)
    assert not np.array_equal(late, usual.load(usual.names[0]).target("arterial").hu)
    assert np.array_equal(case.target("venous").hu, usual.load(usual.names[0]).target("venous").hu)
    assert (case.values("arterial"), case.values("venous")) == ({"seconds": 50.0}, {})

    tiny = write_tiny_package(tmp_path / "tiny")
    made = run("times", tiny, tmp_path / "made", "--seconds", "arterial=35", "--seconds", "venous=72", "--version", "1")
    assert made.exit_code == 0, made.output
    package = ModelPackage.load(tmp_path / "made")
    translator = Translator.load(package.path, device="cpu")
    asked = translator.translate(case.source, phase="50s").volume.hu
    told, fixed = (candidates({"tiny": package}, tell={"seconds": value}, device="cpu")[-1] for value in (None, 60.0))
    assert (told.label, fixed.label) == ("tiny, told seconds", "tiny, told seconds=60")
    assert told.identity != fixed.identity
    answers = [row.answer(case, case.source, "arterial").hu for row in (told, fixed)]
    assert np.array_equal(answers[0], asked)
    assert np.array_equal(answers[1], translator.translate(case.source, phase="60s").volume.hu)
    own = translator.translate(case.source, phase="venous").volume.hu
    assert np.array_equal(told.answer(case, case.source, "venous").hu, own)
    too_late = replace(case, values=lambda phase: {"seconds": 300.0})
    assert np.array_equal(told.answer(too_late, case.source, "venous").hu, own)
