"""When a scan was taken, and at what dose: held-out patients' gains tell it within the interval, whatever one wrong organ says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from train.cli import app
from train.errors import TrainError
from train.evaluation.cases import StoreCases
from train.injection.estimate import FEWEST_CORE_VOXELS, TISSUES, WITHIN, Injection, Told, injection
from train.injection.kept import KeptInjection
from train.injection.report import medians
from train.store import Case, PairStore, write_case
from train.times import DrawnPatient

ORGANS = ("aorta", "liver", "spleen", "renal_cortex", "portal_vein", "pancreas")
HELD_OUT = 100_000


def gains(seconds: float, *, patient: int = HELD_OUT, dose: float = 1.0) -> np.ndarray:
    """Of a patient who got ``dose`` of the usual."""
    drawn = DrawnPatient.of(patient)
    return dose / drawn.dose * drawn.enhancements(seconds, tissues=ORGANS)


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


def test_every_tissue_that_tells_has_kinetics() -> None:
    """One that the phantom does not know would be taken to gain nothing, at every time and dose."""
    assert set(TISSUES) <= set(DrawnPatient.of(HELD_OUT).kinetics.systemic)


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
    assert known.seconds == {}
    assert told_of(replace(one, seconds={"venous": 72.0})) == known
    assert told_of(replace(one, seconds={"venous": 40.0}), known={"venous": 72.0}) == known
    assert known.dose.median == pytest.approx(0.6, abs=0.1)
    assert abs(known.dose.median - 0.6) < abs(asked.dose.median - 0.6)
    assert known.dose.between[1] - known.dose.between[0] < asked.dose.between[1] - asked.dose.between[0]
    late = told_of(one, known={"venous": 180.0})
    assert late.dose.median > known.dose.median + 0.1


def test_a_dose_is_expected_to_be_near_the_usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case(tmp_path, arterial=gains(35.0))
    found = told_of(one).seconds["arterial"].between
    monkeypatch.setattr("train.injection.estimate._DOSE_SPREAD", 100.0)
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
    assert FEWEST_CORE_VOXELS > 8 * 12
    assert injection(replace(whole, valid={"arterial": small})) is None


def test_an_organ_that_is_all_edge_tells_nothing(tmp_path: Path) -> None:
    """A vein two voxels wide shares every voxel with what lies beside it."""
    whole = case(tmp_path, arterial=gains(35.0))
    labels = np.array(whole.labels)
    vein = labels == whole.organs["portal_vein"]
    labels[vein] = whole.organs["pancreas"]
    for left in (50, 54):
        labels[:, :, left : left + 2] = whole.organs["portal_vein"]
    thin = replace(whole, labels=labels)
    assert np.count_nonzero(labels == whole.organs["portal_vein"]) > FEWEST_CORE_VOXELS
    assert "portal_vein" not in told_of(thin).organs["arterial"]
    assert "pancreas" in told_of(thin).organs["arterial"]


def scan_times(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["scan-times", *map(str, arguments)])


def values(store: Path, name: str, phase: str) -> dict[str, float]:
    return dict(StoreCases(store, split=None).load(name).values(phase))


def test_the_command_prints_what_organs_told_and_what_was_given(tmp_path: Path) -> None:
    write(tmp_path, "early", arterial=gains(30.0), venous=gains(90.0))
    write(tmp_path, "told", arterial=gains(50.0))
    write(tmp_path, "bare", organs=("aorta", "liver"), arterial=gains(30.0))
    path = tmp_path / "told" / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": {"arterial": 47.0}}))
    looked = scan_times(tmp_path, "--seconds", "venous=90")
    assert looked.exit_code == 0, looked.output
    assert "bare: fewer than 3 labelled organs" in looked.stderr
    cells = [[one.strip() for one in line.split("|")[1:5]] for line in looked.stdout.splitlines() if "| " in line][1:]
    assert [row[:2] for row in cells] == [["early", "arterial"], ["early", "venous"], ["told", "arterial"]]
    assert [row[2:] for row in cells[1:]] == [["90", "given"], ["47", "given"]]
    assert float(cells[0][2]) == pytest.approx(30.0, abs=6.0)
    lines = looked.stdout.splitlines()[-2:]
    assert lines[0].startswith("arterial: ")
    assert lines[0].endswith(" s (1 patient)")  # given ones are not counted
    assert lines[1].startswith("contrast dose: ")
    assert not list(tmp_path.rglob("injection.json"))


def test_what_is_kept_is_told_in_evaluation_and_leaves_the_store_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, "early", arterial=gains(30.0), venous=gains(90.0))
    write(tmp_path, "little", arterial=gains(35.0, dose=0.5), venous=gains(72.0, dose=0.5))
    path = tmp_path / "little" / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": {"arterial": 33.0}}))
    before, described = PairStore(tmp_path).digest(), StoreCases(tmp_path, split=None).describe()
    assert scan_times(tmp_path, "--keep").exit_code == 0
    assert PairStore(tmp_path).digest() == before
    assert StoreCases(tmp_path, split=None).describe() != described

    assert values(tmp_path, "early", "arterial")["seconds"] == pytest.approx(30.0, abs=6.0)
    assert np.isnan(values(tmp_path, "early", "venous")["seconds"])  # not certain
    assert np.isnan(values(tmp_path, "early", "arterial")["contrast_dose"])  # the usual, for all that is known
    assert values(tmp_path, "little", "venous")["contrast_dose"] == pytest.approx(0.5, abs=0.2)
    assert values(tmp_path, "little", "arterial")["seconds"] == 33.0

    assert scan_times(tmp_path, "--keep", "--seconds", "venous=90").exit_code == 0  # what is known better replaces it
    assert values(tmp_path, "early", "venous")["seconds"] == 90.0
    assert values(tmp_path, "little", "arterial")["seconds"] == 33.0
    assert scan_times(tmp_path, "--keep", "--seconds", "arterial=36").exit_code == 0  # in place of the header's
    assert values(tmp_path, "little", "arterial")["seconds"] == 36.0
    assert PairStore(tmp_path).digest() == before


def test_a_case_that_was_never_asked_tells_nothing(tmp_path: Path) -> None:
    write(tmp_path, "one", arterial=gains(35.0))
    assert all(np.isnan(value) for name, value in values(tmp_path, "one", "arterial").items() if name != "aorta_hu")
    assert KeptInjection.of(tmp_path, "one") == KeptInjection()


def test_a_time_of_a_phase_that_no_case_has_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "one", arterial=gains(35.0))
    refused = scan_times(tmp_path, "--seconds", "portal=72")
    assert isinstance(refused.exception, TrainError)
    assert refused.exception.code == "scan_time_phase"


def test_a_store_without_labels_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "bare", organs=(), arterial=gains(30.0))
    refused = scan_times(tmp_path)
    assert isinstance(refused.exception, TrainError)
    assert refused.exception.code == "scan_time_organs"


def test_a_patient_counts_once_however_many_cases_he_has(tmp_path: Path) -> None:
    one = case(tmp_path, arterial=gains(35.0))

    def at(seconds: float) -> Injection:
        told = Told(seconds, (seconds - 5, seconds + 5))
        return Injection(Told(seconds / 40, (0.5, 2.0)), {"arterial": told}, {"arterial": ORGANS})

    cases = [(replace(one, patient="a"), at(30.0))] * 3 + [(replace(one, patient="b"), at(50.0))]
    assert medians(cases) == ["arterial: 40 s (2 patients, 30 to 50)", "contrast dose: 1.00 (2 patients, 0.75 to 1.25)"]
