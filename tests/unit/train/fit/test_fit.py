"""Training: it learns, it resumes to the same weights, processes share the work, it refuses what cannot work."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Never

import pytest
import torch
import yaml
from filelock import FileLock

from tests.thorough import thorough
from tests.tiny_training import CROP, NETWORK, PLAIN, fit_config, fit_until, write_pair
from train.checkpoint import load_checkpoint
from train.config import FitConfig
from train.errors import TrainError
from train.fit import Fit, finished_system
from train.fit.record import read_record
from train.fit.step import OptimiserStep
from train.phantoms import HELD_OUT, PhantomGrid, case_name, make_store
from train.store import PairStore

FIT = """
import sys
from pathlib import Path
from train.config import load_config
from train.fit import Fit
Fit(load_config(Path(sys.argv[1]))).fit()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("store")
    for seed in range(2):
        write_pair(folder, seed)
    return folder


def _same(a: Any, b: Any) -> Any:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _history(run: Any, kind: Any = "train") -> Any:
    whole, _, _ = (run / "history.jsonl").read_text().rpartition("\n")  # the last line may be being written
    lines = [json.loads(line) for line in whole.splitlines()]
    return [line for line in lines if line["kind"] == kind]


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("kill_at", [(2, 2)])
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: Any
) -> None:
    # The discriminator needs 16 slices.
    changes = {
        "network": {**NETWORK, "loss": {"adv": 0.1, "adv_start": 0.0}},
        "data": {"store": store, "crop": (16, 32, 32)},
    }
    expected = Fit(fit_config(store, tmp_path / "whole", **changes)).fit().state_dict()
    step = OptimiserStep.__call__

    def dying(self: Any, draw: Any, **where: Any) -> Any:
        if (self._index, where["step"]) == kill_at:
            raise _KilledError
        return step(self, draw, **where)

    with monkeypatch.context() as patch:
        patch.setattr(OptimiserStep, "__call__", dying)
        with pytest.raises(_KilledError):
            Fit(fit_config(store, tmp_path / "killed", **changes)).fit()
    resumed = Fit(fit_config(store, tmp_path / "killed", **changes)).fit().state_dict()
    assert _same(resumed, expected)


@thorough
def test_a_killed_run_with_moved_anatomy_resumes_bit_for_bit(store: Any, tmp_path: Path) -> None:
    changes = {
        "network": PLAIN,
        "data": {"store": store, "crop": CROP, "rotation_degrees": 10, "flip": ["front_back", "up_down"]},
    }
    expected = Fit(fit_config(store, tmp_path / "whole", **changes)).fit().state_dict()
    still = {**changes, "data": {"store": store, "crop": CROP}}
    assert not _same(Fit(fit_config(store, tmp_path / "still", **still)).fit().state_dict(), expected)
    fit_until(fit_config(store, tmp_path / "killed", **changes), stage=1, step=1)
    assert _same(Fit(fit_config(store, tmp_path / "killed", **changes)).fit().state_dict(), expected)


def _start(config: Any, path: Any, *, environment: Any = None) -> Any:
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return subprocess.Popen(
        [sys.executable, "-c", FIT, str(path)], env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    )


def _kill_in(process: Any, run: Any, stage: Any, *, step: Any) -> Any:
    """SIGKILL the process once ``stage`` has taken ``step`` steps."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        history = _history(run) if (run / "history.jsonl").is_file() else []
        if history and history[-1]["stage"] == stage and history[-1]["step"] >= step:
            process.send_signal(signal.SIGKILL)
            return process.wait()
    pytest.fail(f"stage {stage} was never at step {step} (exit code {process.poll()})")


def test_kill_9_in_the_middle_of_stage_1_and_of_stage_2_changes_no_bit_of_the_weights(
    store: Any, tmp_path: Path
) -> None:
    expected = Fit(fit_config(store, tmp_path / "whole", steps=25)).fit().state_dict()
    config = fit_config(store, tmp_path / "killed", steps=25, checkpoint_steps=4)
    run = tmp_path / "killed" / "run"
    for stage in ("autoencoder", "diffusion"):
        assert _kill_in(_start(config, tmp_path / "config.yaml"), run, stage, step=9) == -signal.SIGKILL
        position, _ = load_checkpoint(run)
        assert config.stages[position.stage].name == stage
        assert 0 < position.step < 25
    assert _same(Fit(config).fit().state_dict(), expected)
    assert [line["step"] for line in _history(run) if line["stage"] == "autoencoder"] == list(range(1, 26))


def test_a_run_that_another_process_trains_is_refused(store: Any, tmp_path: Path) -> None:
    fit = Fit(fit_config(store, tmp_path))
    fit.run.mkdir(parents=True)
    with FileLock(fit.run / ".lock"), pytest.raises(TrainError, match="Another process is training") as caught:
        fit.fit()
    assert caught.value.code == "run_busy"


def test_two_processes_take_the_steps_of_one_with_twice_the_batch(store: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = {"store": store, "crop": (16, 32, 32), "batch": 2}
    network = {**PLAIN, "loss": {"adv": 0.1, "adv_start": 0.0}}  # two players, each with its own wrapper
    together = fit_config(store, tmp_path / "two", network=network, data=data)
    processes = [
        _start(
            together,
            tmp_path / f"{rank}.yaml",
            environment={
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
        )
        for rank in range(2)
    ]
    expected = Fit(fit_config(store, tmp_path / "one", network=network, data=data)).fit().state_dict()
    assert [process.wait(timeout=200) for process in processes] == [0, 0]
    assert read_record(tmp_path / "two" / "run")["starts"][0]["processes"] == 2
    one, two = ([line["loss"] for line in _history(tmp_path / name / "run")] for name in ("one", "two"))
    assert len(one) == 9
    assert two == pytest.approx(one, rel=1e-6)
    _, system = finished_system(tmp_path / "two" / "run")
    assert all(torch.allclose(value, expected[key], atol=1e-6) for key, value in system.shipped().items())


def test_accumulated_micro_batches_take_the_step_of_the_whole_batch(store: Any, tmp_path: Path) -> None:
    network = {**PLAIN, "loss": {"finetune_flow_share": 0.0}}
    weights = []
    for micro in (1, 2):
        data = {"store": store, "crop": CROP, "batch": 2, "micro_batch": micro}
        stages = ({"name": "autoencoder", "steps": 3, "lr": 2e-3},)
        run = Fit(fit_config(store, tmp_path / str(micro), network=network, data=data, stages=stages))
        weights.append(run.fit().state_dict())
    assert all(torch.allclose(weights[0][key], weights[1][key], atol=2e-5) for key in weights[0])


def test_a_batch_that_the_processes_cannot_share_is_refused(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Fit(fit_config(store, tmp_path))
    monkeypatch.setattr(type(run.accelerator), "num_processes", 2)
    with pytest.raises(TrainError, match="cannot be shared by 2 processes"):
        OptimiserStep(run.system, config=run.config, index=0, accelerator=run.accelerator, run=run.run)


@thorough
def test_crops_drawn_ahead_by_processes_change_no_bit_of_the_weights(store: Any, tmp_path: Path) -> None:
    weights = [
        Fit(fit_config(store, tmp_path / str(workers), data={"store": store, "crop": CROP, "workers": workers}))
        .fit()
        .state_dict()
        for workers in (0, 2)
    ]
    assert _same(*weights)


def test_training_reduces_the_error_of_the_deterministic_step(store: Any, tmp_path: Path) -> None:
    run = Fit(fit_config(store, tmp_path, steps=30))
    batch = run.sampler.batch(stage=9, step=0)
    system = run.fit()
    with torch.inference_mode():
        error = (system.predict_change(batch.source, batch.condition) - batch.change).abs().mean()
    assert error < 0.6 * batch.change.abs().mean()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Fit(fit_config(store, tmp_path))
    loss = run.system.loss

    def poisoned(*arguments: Any) -> Any:
        value, parts = loss(*arguments)
        return (value * float("nan") if run.position.step == 2 else value), parts

    monkeypatch.setattr(run.system, "loss", poisoned)
    with pytest.raises(TrainError, match="step 2 of stage autoencoder"):
        run.fit()
    position, state = load_checkpoint(run.run)
    assert position.step == 2
    assert all(torch.isfinite(value).all() for value in state["system"].values())


def test_other_data_than_the_run_began_with_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path / "store", 0)
    config = fit_config(tmp_path / "store", tmp_path, steps=1)
    Fit(config).fit()
    write_pair(tmp_path / "store", 1)
    with pytest.raises(TrainError, match="is not the one that the run") as caught:
        Fit(config).fit()
    assert caught.value.code == "data_changed"


def test_cases_of_the_other_splits_are_not_trained_on(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "validation", "test")):
        write_pair(tmp_path / "store", seed, split=split)
    assert Fit(fit_config(tmp_path / "store", tmp_path)).store.names == ["phantom-000000"]


def test_a_run_records_its_configuration_versions_commit_and_data(store: Any, tmp_path: Path) -> None:
    run = Fit(fit_config(store, tmp_path, steps=1))
    run.fit()
    record = read_record(run.run)
    assert record["data"]["digest"] == PairStore(store).digest()
    assert record["data"]["cases"] == 2
    assert record["data"]["seeds"] == [0, 1]
    (start,) = record["starts"]
    assert start["versions"]["torch"] == torch.__version__
    assert (start["device"], start["position"], start["config_changed"]) == ("cpu", "autoencoder, step 0", [])
    resolved = yaml.safe_load((run.run / "config.yaml").read_text())
    assert FitConfig.model_validate(resolved).optim == run.config.optim
    assert resolved["network"]["mask"] == {"enabled": True, "alpha": 2.0}


def test_a_configuration_changed_between_two_starts_is_recorded(store: Any, tmp_path: Path) -> None:
    Fit(fit_config(store, tmp_path, steps=1)).fit()
    Fit(fit_config(store, tmp_path, steps=2)).fit()
    assert "stages.0.steps: 1 → 2" in read_record(tmp_path / "run")["starts"][1]["config_changed"]


def test_an_unfinished_run_is_no_finished_system(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(self: Any, draw: Any, **where: Any) -> Never:
        raise _KilledError

    monkeypatch.setattr(OptimiserStep, "__call__", dying)
    run = Fit(fit_config(store, tmp_path))
    with pytest.raises(_KilledError):
        run.fit()
    with pytest.raises(TrainError, match="no training run"):
        finished_system(run.run)
    run._save(None)
    with pytest.raises(TrainError, match="stopped in stage autoencoder"):
        finished_system(run.run)


def test_phantoms_that_are_kept_for_evaluation_are_never_trained_on(tmp_path: Path) -> None:
    grid = PhantomGrid(spacing_mm=(10.0, 6.0, 6.0), matrix=(64, 64), slices=(8, 8))
    list(make_store(tmp_path / "store", seeds=(3, HELD_OUT + 1), phases=("arterial", "venous"), grid=grid))
    with pytest.raises(TrainError, match="kept for evaluation") as raised:
        Fit(fit_config(tmp_path / "store", tmp_path))
    assert raised.value.code == "held_out_seed"
    shutil.rmtree(tmp_path / "store" / case_name(HELD_OUT + 1))
    Fit(fit_config(tmp_path / "store", tmp_path))
