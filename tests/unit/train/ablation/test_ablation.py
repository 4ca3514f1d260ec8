"""Ablations: a plan becomes runs of equal budget, finished runs are kept, and the table says what the runs say."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from s2ldm_core.package import METADATA
from tests.paths import ROOT
from train.ablation import AblationTable, ScanScore, ScoreSheet, evaluate_run, held_out_cases, load_plan, runs, train
from train.ablation.scores import PHANTOMS
from train.ablation.table import Cell
from train.errors import TrainError
from train.store import write_case

_NETWORK = {
    "autoencoder": {"kind": "plain", "channels": [4, 6], "blocks": [1, 1], "latent": 3},
    "diffusion": {"channels": [4, 6]},
}


@pytest.fixture
def plan_path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    native = rng.normal(40, 10, (12, 40, 40))
    write_case(
        tmp_path / "store", "a", spacing_mm=(3, 1.5, 1.5), native=native, changes={"arterial": native / 2}, about={}
    )
    stages = [
        {"name": name, "minutes": minutes} for name, minutes in (("autoencoder", 1), ("diffusion", 1), ("finetune", 2))
    ]
    training = {
        "name": "x",
        "system": "s2ldm",
        "network": {**_NETWORK, "phases": ["arterial"]},
        "stages": stages,
        "data": {"store": "nowhere", "crop": [8, 32, 32]},
        "precision": "fp32",
    }
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(training))
    plan = {
        "name": "trial",
        "store": str(tmp_path / "store"),
        "phases": ["arterial"],
        "output": str(tmp_path / "runs"),
        "seeds": [0, 1],
        "minutes": 0.02,
        "threads": 1,
        "workers": 2,
        "held_out": {"count": 1, "slices": 16, "matrix": [64, 64], "spacing_mm": [6, 6, 6]},
        "rows": [
            {"label": "Ours (full)", "config": "one.yaml", "ceiling": True},
            {"label": "no mask", "config": "one.yaml", "set": ["network.mask.enabled=false"]},
        ],
    }
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    return path


def test_every_run_has_the_plan_s_budget_in_the_configuration_s_proportions(plan_path: Path) -> None:
    plan = load_plan(plan_path)
    config = plan.configuration(plan.rows[1], 1, beside=plan_path.parent)
    assert [stage.minutes for stage in config.stages] == [0.005, 0.005, 0.01]
    assert (config.name, config.seed, config.threads) == ("no-mask-1", 1, 1)
    assert config.network["mask"] == {"enabled": False}
    assert config.data.store == plan.store


def test_a_run_is_another_when_what_it_trains_changes_and_the_same_without_a_switch_that_is_off(
    plan_path: Path,
) -> None:
    plan = load_plan(plan_path)

    def digest(*changes: Any) -> Any:
        row = plan.rows[0].model_copy(update={"set": changes})
        return plan.digest(row, 0, beside=plan_path.parent)

    assert digest() == digest("data.organ_offset=null") == digest("data.store=elsewhere")
    assert len({digest(), digest("data.offset_hu=1"), digest("data.focus={share: 0.5, organs: [liver]}")}) == 3


def test_a_row_with_a_store_of_its_own_is_trained_on_that(plan_path: Path) -> None:
    plan = load_plan(plan_path)
    row = plan.rows[0].model_copy(update={"store": Path("elsewhere")})
    assert plan.configuration(row, 0, beside=plan_path.parent).data.store == Path("elsewhere")
    digests = {plan.digest(one, 0, beside=plan_path.parent) for one in (row, plan.rows[0])}
    assert len(digests) == 2


_PLANS = ROOT / "config" / "train"
_RESULTS = ROOT / "docs" / "results"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in _RESULTS.glob("*/scores.csv")))
def test_published_scores_are_those_of_their_plan_so_that_its_command_goes_on_from_them(name: str) -> None:
    """A switch that a later version has does not make them another plan's."""
    plan = load_plan(_PLANS / f"{name}.yaml")
    sheet = ScoreSheet(_RESULTS / name, plan=plan, runs=runs(plan, beside=_PLANS))
    with (_RESULTS / name / "scores.csv").open(encoding="utf-8") as file:
        published = [row for row in csv.DictReader(file) if row.get("data", PHANTOMS) == PHANTOMS]
    assert published
    assert [(one.system, one.phase, one.case) for one in sheet.scores] == [
        (row["system"], row["phase"], row["case"]) for row in published
    ]


@pytest.mark.parametrize(
    "name", ["ablation.yaml", "ablation_gpu.yaml", "controls.yaml", "controls_long.yaml", "trials.yaml"]
)
def test_the_plans_of_the_repository_give_every_row_the_same_budget(name: str) -> None:
    plan = load_plan(_PLANS / name)
    for row in plan.rows:
        stages = plan.configuration(row, 0, beside=_PLANS).stages
        assert sum(stage.minutes or 0 for stage in stages) == pytest.approx(plan.minutes, abs=1e-3)


@pytest.mark.parametrize("name", ["ablation.yaml", "ablation_gpu.yaml"])
def test_no_row_of_the_ablation_is_told_where_organs_are(name: str) -> None:
    plan = load_plan(_PLANS / name)
    assert [row.key for row in plan.rows][:5] == ["a-ldm", "b-e", "c-e-l-sim", "d-e-s", "s2ldm-paper-r2"]
    for row in plan.rows:
        configuration = plan.configuration(row, 0, beside=_PLANS)
        assert (configuration.data.focus, configuration.data.organ_offset) == (None, None)
        assert configuration.network.get("loss", {}).get("organ_bias", 0) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": [{"label": "a", "config": "one.yaml"}, {"label": "A", "config": "one.yaml"}]}, "same label"),
        ({"rows": [{"label": "a", "config": "one.yaml", "set": ["network.mask.alfa=1"]}]}, "alfa"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"rows": [{"label": "a", "baseline": "organ_shift", "store": "there"}]}, "the plan's store alone"),
        ({"pairs": [{"store": "a"}, {"store": "b"}]}, "same title"),
        ({"minuts": 3}, "minuts"),
    ],
)
def test_a_plan_that_cannot_run_is_refused_before_anything_starts(plan_path: Path, change: Any, said: str) -> None:
    plan_path.write_text(yaml.safe_dump({**yaml.safe_load(plan_path.read_text()), **change}))
    with pytest.raises(TrainError, match=said):
        load_plan(plan_path)


def test_missing_runs_are_trained_once_and_all_end_in_one_table(plan_path: Path, tmp_path: Path) -> None:
    plan = load_plan(plan_path)
    plan = plan.model_copy(update={"rows": plan.rows[:1]})
    every = runs(plan, beside=plan_path.parent)
    trained = [run.label for run in train(plan, every, beside=plan_path.parent)]
    assert sorted(trained) == ["Ours (full) #0", "Ours (full) #1"]
    made = [(run.package / METADATA).stat().st_mtime_ns for run in every]
    assert [run.label for run in train(plan, every, beside=plan_path.parent)] == [run.label for run in every]
    assert [(run.package / METADATA).stat().st_mtime_ns for run in every] == made

    sheet = ScoreSheet(tmp_path / "results", plan=plan, runs=every)
    cases = held_out_cases(plan)
    for run in reversed(every):
        assert not sheet.has(run)
        sheet.add(evaluate_run(plan, run, cases=cases, device="cpu"))
        assert sheet.has(run)
    table = AblationTable.of(sheet.scores)
    assert list(table.cells["phantoms"]["arterial"]) == [
        "identity",
        "Ours (full)",
        "Ours (full): autoencoder ceiling",
    ]
    assert table.cells["phantoms"]["arterial"]["Ours (full)"]["psnr_db"].seeds == 2
    assert "| arterial | Ours (full) | 2 |" in table.markdown()
    # On another machine, where no run lies, the scores alone give the same table.
    again = AblationTable.of(ScoreSheet(tmp_path / "results", plan=plan, runs=every).scores)
    assert again.markdown() == table.markdown()


def test_every_store_of_pairs_has_a_table_with_what_could_be_measured_there() -> None:
    def score(data: str, **values: float) -> ScanScore:
        return ScanScore(data=data, system="ours", seed=0, run="", phase="venous", case="x", values=values)

    table = AblationTable.of([score("phantoms", psnr_db=20.0, organ_error_hu=30.0), score("scans", psnr_db=25.0)])
    phantoms, scans = table.markdown().split("## Scans")
    assert "organ error HU" in phantoms
    assert "| venous | ours | 1 | 20.00 | 30.00 |" in phantoms
    assert "organ error HU" not in scans
    assert "| venous | ours | 1 | 25.00 |" in scans


def test_controls_differ_from_ours_in_what_they_control_alone() -> None:
    plan = load_plan(_PLANS / "controls.yaml")
    ours, alone, unet, made = (plan.configuration(row, 0, beside=_PLANS) for row in plan.rows)
    assert ours.network == alone.network == made.network
    assert {key: ours.network["loss"][key] for key in ("rec_l2", "enhancement", "organ_bias")} == unet.network["loss"]
    assert (
        len({one.data.model_copy(update={"store": Path(), "crop": (1, 1, 1)}) for one in (ours, alone, unet, made)})
        == 1
    )
    assert [one.data.store != plan.store for one in (ours, alone, unet, made)] == [False, False, False, True]
    assert unet.network["gradient"] == ours.network["frequency"]["gain"]
    assert alone.stages[-1].minutes == pytest.approx(plan.minutes, abs=0.01)


@pytest.fixture
def sheet_of(plan_path: Path, tmp_path: Path) -> Any:
    """The sheet in the test's folder for the plan with some keys changed, and the plan's runs."""

    def sheet_of(**changes: Any) -> Any:
        plan_path.write_text(yaml.safe_dump({**yaml.safe_load(plan_path.read_text()), **changes}))
        plan = load_plan(plan_path)
        every = runs(plan, beside=plan_path.parent)
        return ScoreSheet(tmp_path / "results", plan=plan, runs=every), every

    return sheet_of


def _scored(plan: Any, run: Any, *, ceiling: bool = True) -> list[ScanScore]:
    own = [(run.row.label, run.seed, run.digest)]
    if run.row.ceiling and ceiling:
        own.append((run.row.ceiling_label, run.seed, run.digest))
    if run.first:
        own.append(("identity", None, plan.held_out_digest))
    return [
        ScanScore(
            system=system, seed=seed, run=digest, phase="arterial", case="phantom-100000", values={"psnr_db": 20.0}
        )
        for system, seed, digest in own
    ]


def test_a_run_whose_scores_are_kept_is_not_made_again_unless_the_plan_changes_it(
    sheet_of: Any, plan_path: Path
) -> None:
    sheet, every = sheet_of()
    sheet.add(_scored(load_plan(plan_path), every[0]))
    sheet.add(_scored(load_plan(plan_path), every[1]))
    rows = yaml.safe_load(plan_path.read_text())["rows"]

    def kept(**changes: Any) -> Any:
        found, now = sheet_of(**changes)
        return [run.label for run in now if found.has(run)]

    assert kept() == ["Ours (full) #0", "no mask #0"]
    assert kept(output="elsewhere", store="other") == ["Ours (full) #0", "no mask #0"]
    assert kept(rows=[rows[0], {**rows[1], "set": ["network.mask.alpha=1"]}]) == ["Ours (full) #0"]
    assert kept(rows=rows, seeds=[0, 7]) == ["Ours (full) #0", "no mask #0"]
    assert kept(minutes=0.04) == []
    assert kept(minutes=0.02, held_out={"count": 2}) == []


def test_a_run_without_the_scores_of_its_ceiling_is_not_done(sheet_of: Any, plan_path: Path) -> None:
    sheet, every = sheet_of()
    sheet.add(_scored(load_plan(plan_path), every[0], ceiling=False))
    assert not sheet.has(every[0])


@pytest.mark.parametrize("old", [",20,", "psnr_db,", "seed"])
def test_scores_that_cannot_be_read_are_named(sheet_of: Any, plan_path: Path, tmp_path: Path, old: str) -> None:
    sheet, every = sheet_of()
    sheet.add(_scored(load_plan(plan_path), every[0]))
    path = tmp_path / "results" / "scores.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, {",20,": ",nan,", "seed": "sead"}.get(old, '"')))
    with pytest.raises(TrainError, match=r"scores\.csv"):
        sheet_of()


def test_a_run_that_fails_says_why(plan_path: Path) -> None:
    plan = load_plan(plan_path)
    (plan.store / "a" / "native.npy").unlink()
    with pytest.raises(TrainError, match=r"ended with code 1") as caught:
        list(train(plan, runs(plan, beside=plan_path.parent), beside=plan_path.parent))
    assert "fit.log" in caught.value.remedy


def test_intervals_are_student_s_over_the_seeds() -> None:
    cell = Cell.of([1.0, 2.0, 3.0])
    assert cell.mean == 2.0
    assert cell.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert Cell.of([1.5]).text(2) == "1.50"


def test_a_seed_is_the_mean_of_its_scans_in_which_the_metric_is_defined() -> None:
    def score(seed: int, case: str, value: float | None) -> ScanScore:
        return ScanScore(system="row", seed=seed, run="", phase="venous", case=case, values={"psnr_db": value})

    values = [(0, "a", 10.0), (1, "a", 30.0), (0, "b", 20.0), (1, "b", 50.0), (0, "c", None)]
    cell = AblationTable.of([score(*value) for value in values]).cells["phantoms"]["venous"]["row"]["psnr_db"]
    assert (cell.mean, cell.seeds) == (27.5, 2)
