"""Times between a model's phases: the weighted sum of its answers for them, within what that sum can be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from s2ldm_core import Translator, Volume
from s2ldm_core.answers import limits_between
from s2ldm_core.ensemble import Ensemble
from s2ldm_core.errors import PackageError, TranslationError
from s2ldm_core.package import METADATA, ModelPackage, save_package, with_times
from s2ldm_core.regions import REGIONS
from s2ldm_core.sampling import Sampling
from s2ldm_core.systems import build_system
from s2ldm_core.times import Times
from tests.tiny_model import limit_answers, with_spread, write_tiny_package

TIMES = Times(
    seconds=(30.0, 35.0, 50.0, 72.0), weights={"arterial": (0.8, 1.0, 0.7, 0.0), "venous": (-0.1, 0.0, 0.6, 1.0)}
)
PREDICTED = Sampling(kind="predicted")


@pytest.fixture(scope="module")
def volume() -> Volume:
    hu = np.random.default_rng(0).normal(40.0, 10.0, (8, 40, 40)).astype(np.float32)
    return Volume(hu=hu, affine=np.diag([1.5, 1.5, 3.0, 1.0]))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """Its answers differ from phase to phase, and so do their spreads."""
    folder = tmp_path_factory.mktemp("times")
    torch.manual_seed(2)
    system = build_system(
        "unet", {"channels": (4, 4), "blocks": (1, 1), "core_channels": (4, 4), "core_blocks": 1, "latent": 2}
    )
    for name, parameter in system.named_parameters():
        torch.nn.init.normal_(parameter, std=3.0 if "phase" in name else 0.3)
    plain = ModelPackage.load(write_tiny_package(folder / "plain")).metadata
    save_package(
        folder / "phases",
        system=system,
        metadata={
            key: getattr(plain, key)
            for key in (
                "name",
                "version",
                "window_hu",
                "spacing_mm",
                "min_slices",
                "intended_use",
                "training_data",
                "metrics",
            )
        },
    )
    told = ModelPackage.load(with_spread(folder / "phases", folder / "spread"))
    return with_times(told, folder / "times", times=TIMES, version="0.0.3")


@pytest.fixture(scope="module")
def translator(package: ModelPackage) -> Translator:
    return Translator.load(package.path, device="cpu")


def change(translator: Translator, volume: Volume, phase: str, **more: Any) -> np.ndarray:
    return translator.translate(volume, phase=phase, **more).volume.hu - volume.hu


def test_weights_are_linear_between_the_seconds_and_phases_that_do_not_count_are_left_out() -> None:
    assert TIMES.at(40.0) == pytest.approx({"arterial": 0.9, "venous": 0.2})
    assert TIMES.at(30.0) == pytest.approx({"arterial": 0.8, "venous": -0.1})
    assert (TIMES.at(35.0), TIMES.at(72.0)) == ({"arterial": 1.0}, {"venous": 1.0})
    assert [TIMES.covers(one) for one in (29.9, 30.0, 72.0, 72.1)] == [False, True, True, False]
    with pytest.raises(ValueError, match="29 s is not among any time from 30s to 72s"):
        TIMES.at(29.0)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"seconds": [35.0, 35.0]}, "do not rise"),
        ({"seconds": [72.0, 35.0]}, "do not rise"),
        ({"weights": {"arterial": [1.0], "venous": [0.0, 1.0]}}, "another number of weights"),
        ({"weights": {"arterial": [1.0, 0.0]}}, "at least 2"),
        ({"weights": {"arterial": [1.0, float("nan")], "venous": [0.0, 1.0]}}, "finite"),
        ({"seconds": [35.0, float("inf")]}, "finite"),
    ],
)
def test_times_that_do_not_fit_are_refused(broken: dict[str, Any], said: str) -> None:
    sound = {"seconds": [35.0, 72.0], "weights": {"arterial": [1.0, 0.0], "venous": [0.0, 1.0]}}
    with pytest.raises(ValueError, match=said):
        Times.model_validate(sound | broken)


def test_something_counts_at_every_time() -> None:
    crossing = Times(seconds=(35.0, 72.0), weights={"arterial": (1.0, -1.0), "venous": (0.01, 0.01)})
    assert crossing.at(53.5) == pytest.approx({"venous": 0.01})
    assert Times(seconds=(35.0, 72.0), weights={"arterial": (0.0, 0.0), "venous": (0.0, 0.0)}).at(40.0)


def test_a_time_is_answered_with_the_weighted_sum(translator: Translator, volume: Volume) -> None:
    arterial, venous = (change(translator, volume, phase) for phase in ("arterial", "venous"))
    assert np.abs(arterial - venous).max() > 1.0
    between = change(translator, volume, "50s")
    assert np.abs(between - (0.7 * arterial + 0.6 * venous)).max() < 0.01
    early = change(translator, volume, "30s")
    assert np.abs(early - (0.8 * arterial - 0.1 * venous)).max() < 0.01
    assert np.array_equal(change(translator, volume, "35s"), arterial)
    assert np.array_equal(change(translator, volume, "72s"), venous)


def test_a_contrast_dose_multiplies_what_a_phase_and_what_a_time_gains(translator: Translator, volume: Volume) -> None:
    half = {"contrast_dose": 0.5}
    for phase in ("venous", "50s"):
        usual = translator.translate(volume, phase=phase, sampling=PREDICTED)
        told = translator.translate(volume, phase=phase, values=half, sampling=PREDICTED)
        gained = usual.volume.hu - volume.hu
        assert np.abs(gained).max() > 1.0
        assert np.abs(told.volume.hu - volume.hu - 0.5 * gained).max() < 0.01
        assert usual.spread is not None
        assert told.spread is not None
        assert np.abs(told.spread.hu - 0.5 * usual.spread.hu).max() < 0.01
    both = change(translator, volume, "venous", values={"seconds": 50.0, "contrast_dose": 2.0})
    assert np.abs(both - 2.0 * change(translator, volume, "50s")).max() < 0.02


def test_a_dose_is_said_in_the_record_but_for_the_usual_one(translator: Translator, volume: Volume) -> None:
    def said(phase: str, dose: float) -> Any:
        made = translator.translate(volume, phase=phase, values={"contrast_dose": dose}).translation
        return made.contrast_dose, made.shares

    of_a_time = pytest.approx({"arterial": 0.7, "venous": 0.6})
    for dose, wanted in ((0.5, 0.5), (1.0, 1.0), (float("nan"), 1.0), (0.804, 0.8), (1.004, 1.0)):
        assert said("venous", dose) == (wanted, {})
        assert said("50s", dose) == (wanted, of_a_time)


def test_doses_are_told_apart_to_a_hundredth(translator: Translator, volume: Volume) -> None:
    """As their records do, which series are told apart by."""
    near, same = (change(translator, volume, "venous", values={"contrast_dose": dose}) for dose in (0.8001, 0.8))
    assert np.array_equal(near, same)
    assert not np.array_equal(near, change(translator, volume, "venous", values={"contrast_dose": 0.81}))


@pytest.mark.parametrize("dose", [0.0, -1.0, 0.29, 2.01, 80.0, float("inf")])
def test_a_dose_that_nobody_is_given_is_refused(translator: Translator, volume: Volume, dose: float) -> None:
    with pytest.raises(TranslationError) as caught:
        translator.translate(volume, phase="venous", values={"contrast_dose": dose})
    assert caught.value.code == "contrast_dose_beyond"


def test_a_system_that_knows_seconds_heeds_a_dose_as_well(volume: Volume, tmp_path: Path) -> None:
    ccdm = Translator.load(write_tiny_package(tmp_path, seconds=True), device="cpu")
    for phase in ("40s", "venous"):
        half = change(ccdm, volume, phase, values={"contrast_dose": 0.5})
        assert np.abs(half - 0.5 * change(ccdm, volume, phase)).max() < 0.01
        assert np.abs(half).max() > 0.0
    made = ccdm.translate(volume, phase="40s", values={"contrast_dose": 0.5}).translation
    assert (made.contrast_dose, made.shares) == (0.5, {})


def test_a_dose_that_is_a_condition_of_the_system_itself_is_left_to_it(volume: Volume, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = {
        "channels": (4, 4),
        "steps": 1,
        "value": "contrast_dose",
        "nominal": {"arterial": 1.0, "venous": 1.0},
        "value_range": (0.3, 2.0),
    }
    system = build_system("ccdm", config)
    for parameter in system.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    plain = ModelPackage.load(write_tiny_package(tmp_path / "plain")).metadata
    kept = ("name", "version", "window_hu", "spacing_mm", "min_slices", "intended_use", "training_data", "metrics")
    save_package(tmp_path / "own", system=system, metadata={key: getattr(plain, key) for key in kept})
    own = Translator.load(tmp_path / "own", device="cpu")
    assert own.metadata.heeded.count("contrast_dose") == 1
    told = own.translate(volume, phase="venous", values={"contrast_dose": 0.5})
    assert told.translation.contrast_dose == 1.0
    usual = change(own, volume, "venous")
    assert np.abs(told.volume.hu - volume.hu - 0.5 * usual).max() > 0.1
    assert np.abs(told.volume.hu - volume.hu - usual).max() > 0.1


def test_what_a_time_is_put_together_of_is_said(translator: Translator, volume: Volume) -> None:
    of_a_time = translator.translate(volume, phase="50s").translation
    assert of_a_time.shares == pytest.approx({"arterial": 0.7, "venous": 0.6})
    assert not translator.translate(volume, phase="arterial").translation.shares


def test_of_packages_that_answer_together_the_shares_are_said_where_they_are_the_same(
    package: ModelPackage, translator: Translator, volume: Volume, tmp_path: Path
) -> None:
    others = TIMES.model_copy(update={"weights": {**TIMES.weights, "venous": (-0.1, 0.0, 0.5, 1.0)}})
    other = Translator.load(with_times(package, tmp_path / "other", times=others, version="1").path, device="cpu")
    together = Ensemble([translator, other])
    half = together.translate(volume, phase="venous", values={"contrast_dose": 0.5})
    assert (half.translation.contrast_dose, half.translation.shares) == (0.5, {})
    assert Ensemble([translator, translator]).translate(volume, phase="50s").translation.shares == pytest.approx(
        {"arterial": 0.7, "venous": 0.6}
    )
    assert together.translate(volume, phase="50s").translation.shares == {}


def test_other_times_make_another_model_of_the_same_version(package: ModelPackage, tmp_path: Path) -> None:
    others = TIMES.model_copy(update={"weights": {**TIMES.weights, "venous": (-0.1, 0.0, 0.5, 1.0)}})
    same, other = (
        with_times(package, tmp_path / str(number), times=times, version="0.0.3")
        for number, times in enumerate((TIMES, others))
    )
    assert package.identity == same.identity != other.identity


def test_seconds_beside_a_phase_say_when_it_was_taken_and_unknown_ones_nothing(
    translator: Translator, volume: Volume
) -> None:
    told = change(translator, volume, "arterial", values={"seconds": 50.0})
    assert np.array_equal(told, change(translator, volume, "50s"))
    unknown = change(translator, volume, "arterial", values={"seconds": np.nan})
    assert np.array_equal(unknown, change(translator, volume, "arterial"))


def test_the_spread_of_a_sum_is_the_largest_that_its_parts_allow(translator: Translator, volume: Volume) -> None:
    def spread(phase: str) -> np.ndarray:
        found = translator.translate(volume, phase=phase, sampling=PREDICTED).spread
        assert found is not None
        return found.hu

    arterial, venous = spread("arterial"), spread("venous")
    assert np.allclose(spread("50s"), 0.7 * arterial + 0.6 * venous, rtol=1e-3)
    assert np.allclose(spread("30s"), 0.8 * arterial + 0.1 * venous, rtol=1e-3)


def test_progress_of_a_sum_runs_once_from_nothing_to_all(translator: Translator, volume: Volume) -> None:
    told: list[float] = []
    found = translator.translate(
        volume, phase="50s", progress=lambda name, done: told.append(done) if name == "decode" else None
    )
    assert told == [0.5, 1.0]
    assert (found.translation.phase, found.translation.steps) == ("50s", 1)


@pytest.mark.parametrize(("phase", "values"), [("73s", {}), ("29s", {}), ("arterial", {"seconds": 90.0})])
def test_times_beyond_those_that_are_known_are_refused(
    phase: str, values: dict[str, float], translator: Translator, volume: Volume
) -> None:
    with pytest.raises(TranslationError, match="answers for any time from 30s to 72s") as caught:
        translator.translate(volume, phase=phase, values=values)
    assert caught.value.code == "seconds_beyond"


def test_metadata_say_what_can_be_asked_for(package: ModelPackage, tmp_path: Path) -> None:
    meta = package.metadata
    offered = [meta.offers(one) for one in ("arterial", "30s", "72s", "29s", "73s", "late")]
    assert offered == [True, True, True, False, False, False]
    assert (meta.offered, meta.heeded) == ("arterial, venous, any time from 30s to 72s", ("seconds", "contrast_dose"))
    package.verify()
    assert ModelPackage.load(package.path).metadata == meta
    assert meta.calibration is not None
    without = ModelPackage.load(write_tiny_package(tmp_path / "without"))
    assert "times" not in json.loads((without.path / METADATA).read_text())
    assert without.metadata.heeded == ("contrast_dose",)


def test_times_of_a_phase_that_the_package_has_not_are_refused(tmp_path: Path) -> None:
    package = ModelPackage.load(write_tiny_package(tmp_path / "tiny"))
    file = package.path / METADATA
    weights = {"arterial": [1.0, 0.0], "delayed": [0.0, 1.0]}
    file.write_text(json.dumps({**json.loads(file.read_text()), "times": {"seconds": [35, 180], "weights": weights}}))
    with pytest.raises(PackageError, match="times name delayed, which is none of its phases"):
        ModelPackage.load(package.path)


def test_limits_of_a_sum_are_the_sum_of_those_of_its_parts_turned_round_where_a_weight_is_negative() -> None:
    limits = {
        "arterial": {"chest": {"soft": (0.0, 10.0), "fat": (-1.0, 1.0)}, "pelvis": {"soft": (0.0, 5.0)}},
        "venous": {"chest": {"soft": (2.0, 20.0)}},
    }
    assert limits_between(limits, {"arterial": 0.5, "venous": 0.5}) == {"chest": {"soft": (1.0, 15.0)}}
    assert limits_between(limits, {"arterial": 1.0, "venous": -0.1}) == {"chest": {"soft": (-2.0, 9.8)}}
    assert limits_between(limits, {"arterial": 1.0}) == limits["arterial"]
    assert limits_between(limits, {"delayed": 1.0}) == {}


def test_a_sum_outside_its_limits_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    hu = np.full((8, 120, 120), 40.0, np.float32)
    native = Volume(hu=hu, affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    folder = with_times(package, tmp_path / "limited", times=TIMES, version="0.0.4").path
    everywhere = {"soft": (500.0, 600.0)}
    regions = dict.fromkeys(REGIONS, everywhere)
    limit_answers(folder, {"arterial": regions, "venous": regions})
    with pytest.raises(TranslationError) as caught:
        Translator.load(folder, device="cpu").translate(native, phase="50s")
    assert caught.value.code == "answer_out_of_distribution"
    assert "650 to 780 was seen" in caught.value.sentence
    for phase, seen in (("venous", "250 to 300 was seen"), ("50s", "325 to 390 was seen")):
        with pytest.raises(TranslationError, match=seen):
            Translator.load(folder, device="cpu").translate(native, phase=phase, values={"contrast_dose": 0.5})
