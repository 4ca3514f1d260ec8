"""Teaching a package its uncertainty: what is wrong by more is said to be, and intervals hold as often as they say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from s2ldm_core.package import ModelPackage
from s2ldm_core.phantom import ORGANS
from s2ldm_core.spread import SpreadNetwork
from s2ldm_core.systems import Condition
from s2ldm_core.tissue_groups import GROUPS
from tests.tiny_model import with_spread, write_tiny_package
from train.cli import app
from train.errors import TrainError
from train.spread import add_spread
from train.spread.answered import NO_TISSUE, Answered, answer_cases
from train.spread.coverage import Coverage, measured, the_same, told_by
from train.spread.training import normal_loss, train_spread
from train.store import PairStore, write_case

PHASES = ("arterial", "venous")
WINDOW = (-200.0, 500.0)
NUMBERS = {name: number for number, name in enumerate(GROUPS)}


def answered(seed: int, *, phase: str = "arterial", sure: float = 5.0, unsure: float = 30.0) -> Answered:
    """Liver at the left, whose error has a deviation of ``sure`` HU, and a brighter spleen at the right, of ``unsure`` HU."""
    rng = np.random.default_rng(seed)
    shape = (24, 96, 96)
    right = np.zeros(shape, bool)
    right[..., 48:] = True
    error = rng.normal(0, 1, shape) * np.where(right, unsure, sure)
    error[:, :4] = np.nan
    return Answered(
        name=f"case {seed}",
        patient=f"patient {seed}",
        phase=phase,
        source=np.where(right, 0.2, -0.3).astype(np.float16),
        change=np.full(shape, 0.1, np.float16),
        error_hu=error.astype(np.float16),
        labels=np.where(right, NUMBERS["spleen"], NUMBERS["liver"]).astype(np.uint8),
        groups=np.arange(256, dtype=np.uint8),
    )


def trained(run: Path, *, channels: int, steps: int, on_progress: Callable[[float], None]) -> SpreadNetwork:
    return train_spread(
        [answered(seed) for seed in range(2)],
        phases=PHASES,
        channels=(channels, channels),
        window_hu=WINDOW,
        budget=lambda step: step / steps,
        run=run,
        on_progress=lambda done, loss: on_progress(done),
    )


def test_the_network_tells_what_is_wrong_by_more_from_what_is_wrong_by_less(tmp_path: Path) -> None:
    network = trained(tmp_path / "run", channels=8, steps=32, on_progress=lambda done: None)
    spread = told_by(network, phases=PHASES, window_hu=WINDOW)(answered(9))
    left, right = (float(np.median(spread[..., part])) for part in (slice(8, 40), slice(56, 88)))
    assert right > 1.15 * left


def test_answers_are_those_to_a_phase_that_nobody_knows_more_of(tmp_path: Path) -> None:
    package = ModelPackage.load(write_tiny_package(tmp_path / "package", seconds=True))
    native = np.random.default_rng(0).normal(40, 20, (8, 32, 32))

    def answer(name: str, **known: dict[str, float]) -> Answered:
        changes = {"arterial": np.full(native.shape, 50.0)}
        write_case(tmp_path / name, "a", spacing_mm=(3, 1.5, 1.5), native=native, changes=changes, about={}, **known)
        store = PairStore(tmp_path / name)
        (found,) = answer_cases(package, store, tmp_path / f"{name}-answers", on_case=lambda case: None)
        return found

    told, untold = answer("told", seconds={"arterial": 110.0}), answer("untold")
    np.testing.assert_array_equal(told.change, untold.change)
    usual, asked = (
        package.build().predict_change(
            torch.from_numpy(told.source.astype(np.float32))[None, None],
            Condition(phase=torch.tensor([0]), values=values),
        )
        for values in ({}, {"seconds": torch.tensor([110.0])})
    )
    assert (usual - asked).abs().max() > 5e-5


def test_a_training_cut_short_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.spread.training._CHECKPOINT_STEPS", 2)

    def eight_steps(name: str, *, cut_after: float = 2.0) -> tuple[SpreadNetwork, list[float]]:
        shares: list[float] = []

        def on_progress(done: float) -> None:
            shares.append(done)
            if done >= cut_after:
                raise KeyboardInterrupt

        return trained(tmp_path / name, channels=4, steps=8, on_progress=on_progress), shares

    whole, shares = eight_steps("whole")
    with pytest.raises(KeyboardInterrupt):
        eight_steps("cut", cut_after=5 / 8)
    resumed, rest = eight_steps("cut")
    assert rest == shares[4:]  # the last checkpoint, not the cut
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    again, none = eight_steps("cut")
    assert none == []  # cut short between the training's end and the package, it is not trained again
    assert torch.equal(again.core.out.weight, resumed.core.out.weight)


def test_the_loss_is_least_at_the_errors_own_deviation() -> None:
    error = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, 1, 20, 20, 20)))
    error[..., 0] = torch.nan
    tried = {s: float(normal_loss(error, torch.full_like(error, s))) for s in (0.05, 0.09, 0.1, 0.11, 0.2)}
    assert min(tried, key=lambda s: tried[s]) == 0.1
    assert np.isfinite(list(tried.values())).all()


def test_intervals_hold_as_often_as_they_say() -> None:
    cases = [answered(seed, phase=phase) for seed, phase in enumerate(PHASES)]
    found = measured(cases, lambda one: np.where(one.tissue == NUMBERS["liver"], 5.0, 30.0))
    assert found.half_widths() == pytest.approx((0.674, 1.282, 1.960), abs=0.02)  # of a normal distribution
    assert found.ratio == pytest.approx(1, abs=0.01)
    held = found.within(found.half_widths())
    assert held["venous"]["liver"] == pytest.approx((0.5, 0.8, 0.95), abs=0.01)
    error, spread = found.root_mean_squares()["arterial"]["spleen"]
    assert error == pytest.approx(30, rel=0.01)
    assert spread == pytest.approx(30, rel=0.01)


def test_its_doubt_holds_for_the_mean_of_scans_that_differ_in_size_and_share() -> None:
    rng = np.random.default_rng(0)
    key, outside = ("arterial", "liver"), 0
    for _ in range(400):
        sizes = rng.integers(1000, 9000, 15)
        inside = np.round(sizes * rng.beta(2, 2, 15)).astype(int)  # on average half of a scan's errors
        counts = (
            np.stack([inside, sizes - inside], axis=1).repeat(2000, axis=1) / 2000
        )  # half of all bins: ten deviations
        coverage = Coverage(counts={key: counts}, patients={key: [f"p{number}" for number in range(15)]}, squares={})
        (share,), (half,) = coverage.within([10.0])["arterial"]["liver"], coverage.doubt([10.0])["arterial"]["liver"]
        outside += abs(share - 0.5) > half
    assert 0.02 < outside / 400 < 0.09


def test_every_scan_counts_alike_however_much_of_a_tissue_it_shows() -> None:
    counts = np.zeros((2, 4000))
    counts[0, 0], counts[1, -1] = 9000, 1000  # all within in the one, none in the other
    coverage = Coverage(counts={("venous", "liver"): counts}, patients={}, squares={})
    assert coverage.within([10.0])["venous"]["liver"] == (0.5,)
    assert coverage.half_widths()[1] == 20.0


def test_one_tissue_that_is_far_off_does_not_widen_the_intervals_of_all_others() -> None:
    within = np.zeros((1, 4000))
    within[0, :200] = 1.0  # evenly over one standard deviation
    beyond = np.zeros((1, 4000))
    beyond[0, 2000] = 1.0
    usual = {("venous", tissue): within for tissue in ("liver", "spleen", "artery", "muscle")}
    coverage = Coverage(counts={**usual, ("venous", "hepatic_vein"): beyond}, patients={}, squares={})
    assert coverage.half_widths() == pytest.approx((0.5, 0.8, 0.95))


def test_one_patient_tells_nothing_of_others_however_often_he_was_scanned() -> None:
    cases = [replace(answered(seed), patient="patient 0") for seed in range(3)]
    found = measured(cases, the_same(cases))
    assert np.isnan(found.doubt([1.0])["arterial"]["liver"]).all()
    cases[2] = answered(2)
    assert np.isfinite(measured(cases, the_same(cases)).doubt([1.0])["arterial"]["liver"]).all()


def test_one_width_everywhere_holds_too_often_in_one_tissue_and_too_seldom_in_the_other() -> None:
    cases = [answered(seed) for seed in range(2)]
    found = measured(cases, the_same(cases))
    held = found.within(found.half_widths())["arterial"]
    assert held["liver"][1] > 0.95
    assert held["spleen"][1] < 0.65


def test_scaling_multiplies_what_it_says() -> None:
    torch.manual_seed(0)
    network = SpreadNetwork(channels=(4, 4), phases=2).eval()
    x, phase = torch.randn(1, 1, 4, 8, 8), torch.tensor([0])
    with torch.no_grad():
        before = network(x, x, phase)
        network.scale_by(1.7)
        assert torch.allclose(network(x, x, phase), 1.7 * before)


def test_what_few_scans_show_sets_no_width() -> None:
    cases = [answered(seed) for seed in range(6)]
    for one in cases[2:]:
        one.labels[one.labels == NUMBERS["spleen"]] = NO_TISSUE
    told = measured(cases, the_same(cases))
    assert {tissue for _, tissue in told.counts} == {"liver"}
    assert {tissue for _, tissue in measured(cases[:2], the_same(cases)).counts} == {"liver", "spleen"}


def test_few_voxels_are_not_told() -> None:
    one = answered(0)
    one.labels[:] = NO_TISSUE
    one.labels[0, 10, :40] = NUMBERS["artery"]
    assert not measured([one], the_same([one])).counts


def write_store(folder: Path, seeds: list[int]) -> Path:
    for seed in seeds:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:64, :64]
        native = np.full((16, 64, 64), -1000.0)
        native[:, (y - 32) ** 2 + (x - 32) ** 2 < 900] = -60.0
        inside = (y - 32) ** 2 + (x - 32) ** 2 < 400
        native[:, inside] = 50.0
        labels = np.zeros(native.shape, np.uint8)
        labels[:, inside] = ORGANS["liver"]
        write_case(
            folder,
            f"phantom-{seed:06d}",
            spacing_mm=(3, 1.5, 1.5),
            native=native,
            noise=rng.normal(0, 5, native.shape),
            changes={
                phase: np.where(native == 50, rng.normal(60.0 + 5 * i, 40.0, native.shape), 0.0)
                for i, phase in enumerate(PHASES)
            },
            labels=labels,
            organs={"liver": ORGANS["liver"]},
            split="train",
            about={"seed": seed},
        )
    return folder


def test_the_whole_way_from_a_package_without_to_one_with(tmp_path: Path) -> None:
    write_tiny_package(tmp_path / "tiny")
    stores = {
        name: str(write_store(tmp_path / name, seeds))
        for name, seeds in (("fit", [1, 2]), ("calibrate", [3]), ("held", [100_000]), ("also", [4]))
    }
    arguments = ["spread", str(tmp_path / "tiny"), str(tmp_path / "told"), "--fit", stores["fit"], "--calibrate"]
    arguments += [stores["calibrate"], "--held-out", stores["held"], "--answers", str(tmp_path / "answers")]
    ended = CliRunner().invoke(app, [*arguments, "--also", stores["also"], "--minutes", "0.05", "--version", "2.0"])
    assert ended.exit_code == 0, ended.output
    assert [name in ended.output for name in ("held, venous", "also, venous", "| liver |")] == [True] * 3
    made = ModelPackage.load(tmp_path / "told")
    made.verify()
    told = made.metadata.calibration
    assert told is not None
    assert made.metadata.version == "2.0"
    assert set(told.coverage) == set(PHASES)
    assert all(abs(told.coverage[phase]["liver"][1] - 0.8) < 0.2 for phase in PHASES)
    assert (told.training_data["cases"], told.training_data["seeds"]) == (3, [1, 2, 3])
    card = (made.path / "README.md").read_text()
    assert card.count("| arterial | liver |") == 1
    assert "fitted to: digital torso phantom" in card
    assert len(list((tmp_path / "answers").rglob("*.npy"))) == 10
    assert not list((tmp_path / "answers").rglob("*.pt"))


def test_a_site_sets_scale_and_widths_on_its_own_cases_and_the_network_stays(tmp_path: Path) -> None:
    told = with_spread(write_tiny_package(tmp_path / "tiny"), tmp_path / "told")
    before = ModelPackage.load(told)
    stores = [str(write_store(tmp_path / name, seeds)) for name, seeds in (("ours", [1, 2]), ("held", [100_000]))]
    arguments = ["--calibrate", stores[0], "--held-out", stores[1], "--answers", str(tmp_path / "answers")]
    arguments += ["--version", before.metadata.version]
    ended = CliRunner().invoke(app, ["spread", str(told), str(tmp_path / "anew"), *arguments])
    assert ended.exit_code == 0, ended.output
    made = ModelPackage.load(tmp_path / "anew")
    made.verify()
    assert made.identity != before.identity  # so that a node makes the uncertainty anew
    assert before.metadata.calibration is not None
    assert made.metadata.calibration is not None
    one, other = before.build_spread(), made.build_spread()
    assert one is not None
    assert other is not None
    changed = {key for key, value in one.state_dict().items() if not torch.equal(value, other.state_dict()[key])}
    assert changed == {"core.out.bias"}
    held = made.metadata.calibration.coverage
    assert all(abs(held[phase]["liver"][1] - 0.8) < 0.1 for phase in PHASES)
    data = made.metadata.calibration.training_data
    assert data["seeds"] == [1, 2]
    assert data["started_from"]["weights_sha256"] == before.metadata.calibration.weights_sha256
    assert f"started from: {before.metadata.name} {before.metadata.version}" in (made.path / "README.md").read_text()


def test_without_a_network_there_is_nothing_to_calibrate(tmp_path: Path) -> None:
    tiny = write_tiny_package(tmp_path / "tiny")
    stores = [str(write_store(tmp_path / name, seeds)) for name, seeds in (("ours", [1]), ("held", [100_000]))]
    arguments = ["--calibrate", stores[0], "--held-out", stores[1], "--answers", str(tmp_path / "answers")]
    ended = CliRunner().invoke(app, ["spread", str(tiny), str(tmp_path / "anew"), *arguments])
    assert isinstance(ended.exception, TrainError)
    assert ended.exception.code == "nothing_to_calibrate"


@pytest.mark.parametrize(("calibrate", "held"), [([1, 2], [3]), ([2], [1]), ([1], [3])])
def test_a_case_in_two_stores_is_refused(tmp_path: Path, calibrate: list[int], held: list[int]) -> None:
    package = ModelPackage.load(write_tiny_package(tmp_path / "tiny"))
    one, two = write_store(tmp_path / "one", [1]), write_store(tmp_path / "two", calibrate)
    with pytest.raises(TrainError) as caught:
        add_spread(
            package,
            tmp_path / "told",
            fit=one,
            calibrate=one if calibrate == [1] else two,
            held_out=one if held == [1] else write_store(tmp_path / "held", held),
            answers=tmp_path / "answers",
            version="2.0",
            minutes=0.01,
            say=lambda _: None,
        )
    assert caught.value.code == "stores_overlap"
