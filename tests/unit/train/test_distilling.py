"""A store whose phases are what a package answers."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from s2ldm_core.package import CARD, ModelPackage
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from tests.tiny_training import PLAIN, fit_config, packaged, write_pair
from train.averaging import average
from train.cli import app
from train.distilling import distill
from train.ensembling import ensemble
from train.errors import TrainError
from train.export import export
from train.fit import Fit
from train.fit.provenance import describe_data, refuse_held_out
from train.phantoms import HELD_OUT
from train.store import PairStore

PHANTOM = "digital torso phantom (s2ldm_core.phantom)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distilling")


@pytest.fixture(scope="module")
def teachers(folder: Path) -> dict[str, ModelPackage]:
    for seed in range(2):
        write_pair(folder / "pairs", seed, labels=True, phases=("arterial", "venous")[: seed + 1])

    trained = partial(packaged, folder / "pairs", folder, network=PLAIN)
    made = {"one": trained("one"), "two": trained("two", seed=5)}
    both = ensemble(list(made.values()), folder / "packages" / "both", name="both", version="1", shares=(2, 1))
    return {**made, "both": both}


def answer(package: ModelPackage, hu: np.ndarray, phase: str) -> np.ndarray:
    source = Volume(hu=hu, affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    return Translator.load(package.path, device="cpu").translate(source, phase=phase).volume.hu - hu


def test_targets_are_the_answers_and_all_else_stays(
    folder: Path, teachers: dict[str, ModelPackage], tmp_path: Path
) -> None:
    pairs = PairStore(folder / "pairs", split=None)
    one, two = teachers["one"], teachers["two"]
    assert distill(teachers["both"], pairs, tmp_path, device="cpu") == 2
    made = PairStore(tmp_path, split=None)
    assert made.names == pairs.names
    for case, was in ((made[i], pairs[i]) for i in range(2)):
        assert set(case.changes) == {"arterial", "venous"}, "those that nobody scanned, too"
        for name in ("native", "noise", "labels"):
            assert np.array_equal(getattr(case, name), getattr(was, name)), name
        assert (case.organs, case.patient, case.split) == (was.organs, was.patient, was.split)
        hu = np.asarray(was.native, np.float32) + np.asarray(was.noise, np.float32)
        for phase, change in case.changes.items():
            first, second = answer(one, hu, phase), answer(two, hu, phase)
            assert np.abs(first - second).max() > 0.2
            assert np.abs(np.asarray(change, np.float32) - (2 * first + second) / 3).max() < 0.004


def test_what_is_there_is_not_answered_again(folder: Path, teachers: dict[str, ModelPackage], tmp_path: Path) -> None:
    pairs = PairStore(folder / "pairs", split=None)
    distill(teachers["one"], pairs, tmp_path, device="cpu")
    (tmp_path / pairs.names[1] / "case.json").unlink()
    done: list[str] = []
    assert distill(teachers["one"], pairs, tmp_path, device="cpu", on_case=done.append) == 1
    assert done == [pairs.names[1]]


def test_a_package_says_whose_answers_taught_it(
    folder: Path, teachers: dict[str, ModelPackage], tmp_path: Path
) -> None:
    done = CliRunner().invoke(
        app,
        [
            "distill",
            str(teachers["both"].path),
            "--store",
            str(folder / "pairs"),
            "--output",
            str(tmp_path / "made"),
        ],
    )
    assert done.exit_code == 0, done.output
    run = Fit(fit_config(tmp_path / "made", tmp_path / "runs", steps=1, network=PLAIN))
    run.fit()
    pupil = export(run.run, tmp_path / "pupil", name="pupil", version="1")
    told = pupil.metadata.training_data
    learned_from = [{"source": PHANTOM, "licence": "none needed: synthetic, no patient data"}]
    assert told["answered_by"] == {teachers["both"].identity: learned_from}
    assert f"Targets are answers: {teachers['both'].identity}" in (pupil.path / CARD).read_text(encoding="utf-8")

    other = Fit(fit_config(tmp_path / "made", tmp_path / "other", steps=1, network=PLAIN, init=str(pupil.path)))
    other.fit()
    tuned = export(other.run, tmp_path / "tuned", name="tuned", version="1")
    middle = average(pupil, tuned, tmp_path / "middle", share=0.5, name="middle", version="1")
    assert middle.metadata.training_data["answered_by"] == told["answered_by"], "a mean of pupils has their teachers"
    assert told["sources"] == describe_data(PairStore(folder / "pairs"))["sources"], "and where its images are from"
    assert told["seeds"] == [0, 1]


def test_phantoms_kept_for_evaluation_stay_kept(teachers: dict[str, ModelPackage], tmp_path: Path) -> None:
    write_pair(tmp_path / "held", HELD_OUT)
    distill(teachers["one"], PairStore(tmp_path / "held"), tmp_path / "made", device="cpu")
    with pytest.raises(TrainError) as refused:
        refuse_held_out(PairStore(tmp_path / "made"))
    assert refused.value.code == "held_out_seed"


def test_refusals(folder: Path, teachers: dict[str, ModelPackage], tmp_path: Path) -> None:
    pairs = PairStore(folder / "pairs", split=None)

    def code(name: str, store: PairStore, output: Path) -> str:
        with pytest.raises(TrainError) as refused:
            distill(teachers[name], store, output, device="cpu")
        return refused.value.code

    assert code("one", pairs, folder / "pairs") == "output_is_store"
    assert code("one", pairs, folder / "pairs" / ".." / "pairs") == "output_is_store"
    distill(teachers["two"], pairs, tmp_path / "answered", device="cpu")
    assert code("one", pairs, tmp_path / "answered") == "answered_by_others"
    assert code("both", pairs, tmp_path / "answered") == "answered_by_others"
    write_pair(tmp_path / "further", 2)
    further = PairStore(tmp_path / "further")
    assert code("one", further, tmp_path / "answered") == "answered_by_others", "nor beside cases of another store"
    assert distill(teachers["two"], further, tmp_path / "answered", device="cpu") == 1
    for seed in range(2):
        write_pair(tmp_path / "pairs", seed, labels=True)
    assert code("two", PairStore(tmp_path / "pairs", split=None), tmp_path / "answered") == "case_remade"
    write_pair(tmp_path / "coarse", 0)
    record = tmp_path / "coarse" / "phantom-000000" / "case.json"
    record.write_text(record.read_text(encoding="utf-8").replace("1.5", "2.0"), encoding="utf-8")
    assert code("one", PairStore(tmp_path / "coarse"), tmp_path / "made") == "teacher_grid"
    assert not (tmp_path / "made").exists()
