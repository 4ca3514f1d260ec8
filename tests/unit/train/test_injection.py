"""When a scan was taken, and at what dose: held-out patients' gains tell it within the interval, whatever one wrong organ says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from train.cli import app
from train.injection import FEWEST_VOXELS, WITHIN, Injection, Told, injection, medians
from train.store import Case, PairStore, write_case
from train.times import DrawnPatient

ORGANS = ("aorta", "liver", "spleen", "renal_cortex", "portal_vein", "pancreas")
HELD_OUT = 100_000


def gains(seconds: float, *, patient: int = HELD_OUT, dose: float = 1.0) -> np.ndarray:
    return dose * DrawnPatient.of(patient).enhancements(seconds, tissues=ORGANS)


def told_of(one: Case, *, known: dict[str, float] | None = None) -> Injection:
    found = injection(one, known=known)
    assert found is not None
    return found


def write(folder: Path, name: str, *, organs: tuple[str, ...] = ORGANS, **phases: np.ndarray) -> None:
    """Every organ a block of (4, 12, 12) voxels beside the next."""
    labels = np.zeros((4, 12, 12 * len(ORGANS)), np.uint8)
    changes = {phase: np.zeros(labels.shape, np.float32) for phase in phases}
    for number, organ in enumerate(ORGANS):
        block = (slice(None), slice(None), slice(12 * number, 12 * number + 12))
        for phase, values in phases.items():
            changes[phase][block] = values[number]
        if organ in organs:
            labels[block] = number + 1
    write_case(
        folder,
        name,
        spacing_mm=(3.0, 1.5, 1.5),
        native=np.full(labels.shape, 40.0),
        changes=changes,
        labels=labels,
        organs={organ: number + 1 for number, organ in enumerate(ORGANS)},
        about={},
    )


def case(folder: Path, **phases: np.ndarray) -> Case:
    write(folder, "one", **phases)
    return PairStore(folder)[0]


def test_time_and_dose_of_patients_that_nothing_was_fitted_to_lie_within_their_intervals(tmp_path: Path) -> None:
    inside, off, dosed = [], [], []
    for number in range(8):
        for seconds in (30.0, 40.0, 50.0):
            found = told_of(case(tmp_path, arterial=gains(seconds, patient=HELD_OUT + number)))
            low, high = found.seconds["arterial"].between
            inside.append(low <= seconds <= high)
            off.append(found.seconds["arterial"].median - seconds)
            dosed.append(found.dose.between[0] <= 1.0 <= found.dose.between[1])
    assert np.mean(inside) >= WITHIN - 0.1
    assert np.mean(dosed) >= WITHIN - 0.1
    assert np.sqrt(np.mean(np.square(off))) < 6.5
    assert abs(np.mean(off)) < 3.0


def test_a_late_phase_is_told_from_an_early_one_and_less_surely(tmp_path: Path) -> None:
    found = told_of(case(tmp_path, arterial=gains(32.0), venous=gains(90.0))).seconds
    assert found["arterial"].median == pytest.approx(32.0, abs=6.0)
    assert found["venous"].between[0] < 90.0 < found["venous"].between[1]
    assert found["arterial"].certain
    assert not found["venous"].certain


def test_the_dose_is_told_apart_from_the_time(tmp_path: Path) -> None:
    usual, much = (told_of(case(tmp_path, arterial=gains(35.0, dose=dose))) for dose in (1.0, 1.6))
    assert much.dose.median / usual.dose.median == pytest.approx(1.6, abs=0.3)
    assert much.seconds["arterial"].median == pytest.approx(usual.seconds["arterial"].median, abs=4.0)


def test_a_time_that_is_known_leaves_the_dose_less_open_and_is_not_asked(tmp_path: Path) -> None:
    one = case(tmp_path, venous=gains(72.0, dose=0.6))
    asked, known = told_of(one), told_of(one, known={"venous": 72.0})
    assert known.seconds["venous"] == Told(72.0, (72.0, 72.0))
    assert known.dose.median == pytest.approx(0.6, abs=0.1)
    assert abs(known.dose.median - 0.6) < abs(asked.dose.median - 0.6)
    assert known.dose.between[1] - known.dose.between[0] < asked.dose.between[1] - asked.dose.between[0]
    late = told_of(one, known={"venous": 180.0})
    assert late.dose.median > known.dose.median + 0.1


def test_a_dose_is_expected_to_be_near_the_usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case(tmp_path, arterial=gains(35.0))
    found = told_of(one).seconds["arterial"].between
    monkeypatch.setattr("train.injection._DOSE_SPREAD", 100.0)
    anything = told_of(one).seconds["arterial"].between
    assert found[1] - found[0] < anything[1] - anything[0]


def test_phases_of_a_study_share_the_patient_and_the_dose(tmp_path: Path) -> None:
    """A little aorta, early or little dosed: the other phase tells which."""
    early = gains(26.0)
    alone = told_of(case(tmp_path, arterial=early)).seconds["arterial"].between
    little, usual = (told_of(case(tmp_path, arterial=early, venous=gains(72.0, dose=dose))) for dose in (0.4, 1.0))
    assert little.dose.median < usual.dose.median - 0.1
    assert little.seconds["arterial"].median > usual.seconds["arterial"].median + 1.0
    beside = usual.seconds["arterial"].between
    assert beside[1] - beside[0] < alone[1] - alone[0]


def test_one_organ_that_is_outlined_wrongly_decides_nothing(tmp_path: Path) -> None:
    values = gains(35.0)
    right = told_of(case(tmp_path, arterial=values)).seconds["arterial"].median
    values[ORGANS.index("liver")] = 230.0
    assert told_of(case(tmp_path, arterial=values)).seconds["arterial"].median == pytest.approx(right, abs=4.0)


def test_what_was_not_measured_tells_nothing(tmp_path: Path) -> None:
    whole = case(tmp_path, arterial=gains(35.0))
    assert set(told_of(whole).organs["arterial"]) == set(ORGANS)
    valid = np.ones(whole.native.shape, bool)
    valid[..., :12] = False
    assert "aorta" not in told_of(replace(whole, valid={"arterial": valid})).organs["arterial"]
    assert injection(replace(whole, labels=None)) is None
    small = np.zeros(whole.native.shape, bool)
    small[:1, :8] = True
    assert FEWEST_VOXELS > 8 * 12
    assert injection(replace(whole, valid={"arterial": small})) is None


def test_the_command_prints_and_keeps_what_is_certain_and_not_known(tmp_path: Path) -> None:
    write(tmp_path, "early", arterial=gains(30.0), venous=gains(90.0))
    write(tmp_path, "told", arterial=gains(50.0))
    write(tmp_path, "bare", organs=("aorta", "liver"), arterial=gains(30.0))
    path = tmp_path / "told" / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": {"arterial": 47.0}}))
    before = (tmp_path / "bare" / "case.json").read_bytes()

    looked = CliRunner().invoke(app, ["scan-times", str(tmp_path)])
    assert looked.exit_code == 0, looked.output
    assert PairStore(tmp_path)[1].seconds == {}
    assert "bare: fewer than 3 labelled organs" in looked.stderr
    rows = [line for line in looked.stdout.splitlines() if line.startswith("| told | arterial |")]
    assert len(rows) == 1
    assert rows[0].endswith("| 47 |")
    assert "arterial: " in looked.stdout
    assert "(2 patients, " in looked.stdout

    kept = CliRunner().invoke(app, ["scan-times", str(tmp_path), "--keep", "--seconds", "venous=90"])
    assert kept.exit_code == 0, kept.output
    bare, early, told = (PairStore(tmp_path)[number] for number in range(3))
    assert (tmp_path / "bare" / "case.json").read_bytes() == before
    assert bare.seconds == {}
    assert set(early.seconds) == {"arterial"}
    assert early.values("arterial")["seconds"] == pytest.approx(30.0, abs=6.0)
    assert told.seconds == {"arterial": 47.0}
    assert np.isnan(early.values("venous")["contrast_dose"])  # the usual, for all that is known
    record = json.loads((tmp_path / "early" / "case.json").read_text())
    assert record["about"]["injection_by"] == {"arterial": "organs"}


def test_a_dose_that_is_surely_another_is_kept_once(tmp_path: Path) -> None:
    write(tmp_path, "little", venous=gains(72.0, dose=0.5))
    write(tmp_path, "told", venous=gains(72.0, dose=0.5))
    path = tmp_path / "told" / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"contrast_dose": 0.9}))
    kept = CliRunner().invoke(app, ["scan-times", str(tmp_path), "--keep", "--seconds", "venous=72"])
    assert kept.exit_code == 0, kept.output
    little, told = (PairStore(tmp_path)[number].values("venous")["contrast_dose"] for number in range(2))
    assert little == pytest.approx(0.5, abs=0.1)
    assert told == 0.9
    record = json.loads((tmp_path / "little" / "case.json").read_text())
    assert record["about"]["injection_by"] == {"contrast_dose": "organs"}


def test_a_time_that_is_given_is_not_written_as_if_the_organs_had_told_it(tmp_path: Path) -> None:
    write(tmp_path, "one", arterial=gains(35.0), venous=gains(72.0, dose=0.6))
    looked = CliRunner().invoke(app, ["scan-times", str(tmp_path), "--keep", "--seconds", "arterial=35"])
    assert looked.exit_code == 0, looked.output
    assert "arterial: 35 s (1 patient)" in looked.stdout
    assert "contrast dose: " in looked.stdout
    assert "arterial" not in PairStore(tmp_path)[0].seconds


def test_a_store_without_labels_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "bare", organs=(), arterial=gains(30.0))
    with pytest.raises(Exception, match="scan_time_organs"):
        CliRunner().invoke(app, ["scan-times", str(tmp_path)], catch_exceptions=False)


def test_a_patient_counts_once_however_many_cases_he_has(tmp_path: Path) -> None:
    one = case(tmp_path, arterial=gains(35.0))

    def at(seconds: float) -> Injection:
        told = Told(seconds, (seconds - 5, seconds + 5))
        return Injection(Told(seconds / 40, (0.5, 2.0)), {"arterial": told}, {"arterial": ORGANS})

    cases = [(replace(one, patient="a"), at(30.0))] * 3 + [(replace(one, patient="b"), at(50.0))]
    assert medians(cases) == ["arterial: 40 s (2 patients, 30 to 50)", "contrast dose: 1.00 (2 patients, 0.75 to 1.25)"]
