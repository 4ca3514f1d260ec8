"""Validation while training: metrics of known volumes, pictures the right way up, averaged weights that come and go without trace."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from s2ldm_core.systems import build_system
from tests.tiny_training import NETWORK, fit_config, write_pair
from train.fit import Fit
from train.fit.average import Average
from train.fit.pictures import comparison
from train.fit.validation import Validation, summary


@pytest.fixture
def store(tmp_path: Path) -> Any:
    write_pair(tmp_path / "store", 0)
    write_pair(tmp_path / "store", 1, split="validation", labels=True)
    return tmp_path / "store"


class _Half(torch.nn.Module):
    """Predicts half of a change of 120 HU wherever the source is soft tissue."""

    def view(self, stage: Any, batch: Any, how: Any) -> Any:
        return torch.where(batch.source > -0.55, 60.0 / 350.0, 0.0)


def test_half_the_change_recovers_half_of_the_enhancement_and_gains_six_decibels(store: Any, tmp_path: Path) -> None:
    validation = Validation(fit_config(store, tmp_path), phases=("arterial",))
    scores, pictures = validation.scores(_Half(), stage="finetune", device=torch.device("cpu"))
    values = summary(scores)
    assert values["arterial/recovery/aorta"] == pytest.approx(0.5, abs=0.01)
    assert values["arterial/psnr_db"] - values["arterial/identity_psnr_db"] == pytest.approx(20 * np.log10(2), abs=0.3)
    assert list(pictures) == ["arterial/phantom-000001"]


def test_it_is_due_when_an_interval_is_crossed(store: Any, tmp_path: Path) -> None:
    validation = Validation(fit_config(store, tmp_path, validation={"steps": 5, "minutes": 1.0}), phases=("arterial",))
    assert validation.due(step=10, seconds_before=1, seconds=2)
    assert validation.due(step=11, seconds_before=59.9, seconds=60.1)
    assert not validation.due(step=12, seconds_before=60.1, seconds=61)


def test_without_a_validation_split_it_is_never_due(tmp_path: Path) -> None:
    write_pair(tmp_path / "store", 0)
    validation = Validation(fit_config(tmp_path / "store", tmp_path, validation={"steps": 1}), phases=("arterial",))
    assert not validation.due(step=1, seconds_before=0, seconds=1e9)


def test_validation_changes_no_bit_of_what_is_trained_and_writes_metrics_and_pictures(
    store: Any, tmp_path: Path
) -> None:
    expected = Fit(fit_config(store, tmp_path / "without", validation={"cases": 0})).fit().state_dict()
    run = Fit(fit_config(store, tmp_path / "with", validation={"steps": 1}))
    found = run.fit().state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.run / "logs" / "finetune"))
    events.Reload()
    assert events.Tags()["images"] == ["arterial/phantom-000001", "venous/phantom-000001"]
    assert [event.step for event in events.Scalars("validation/arterial/psnr_db")] == [1, 2, 3]


def test_the_average_is_applied_and_taken_away_without_trace() -> None:
    torch.manual_seed(0)
    system = build_system("s2ldm", NETWORK).train()
    average = Average(system, decay=0.9)
    before = {key: value.clone() for key, value in system.state_dict().items()}
    with torch.no_grad():
        for value in system.parameters():
            value.add_(1.0)
    own = {key: value.clone() for key, value in system.state_dict().items()}
    with average.applied(system) as averaged:
        assert not averaged.training
        assert all(torch.equal(value, before[key]) for key, value in averaged.state_dict().items())
    assert system.training
    assert all(torch.equal(value, own[key]) for key, value in system.state_dict().items())


def test_the_average_follows_with_its_known_decay() -> None:
    system = build_system("unet", {"channels": (4, 4), "core_channels": (4, 4), "latent": 2})
    with torch.no_grad():
        system.encoder.stem.bias.fill_(0.0)
    average = Average(system, decay=0.9)
    with torch.no_grad():
        system.encoder.stem.bias.fill_(1.0)
    average.update(system, step=0)
    assert average.values["encoder.stem.bias"][0].item() == pytest.approx(0.9)  # decay 1/10 at first
    average.update(system, step=1000)
    assert average.values["encoder.stem.bias"][0].item() == pytest.approx(0.91)


def test_pictures_show_the_superior_end_of_coronal_planes_up() -> None:
    native = np.full((20, 40, 40), -100.0)
    native[15:] = 200.0  # superior
    target = native.copy()
    target[10, 20, 20] += 100
    image = comparison(native, target, target, spacing_mm=(3, 1.5, 1.5), window_hu=(-200, 500), phase="arterial").mean(
        axis=2
    )
    third = image.shape[0] // 3
    column = image[third : 2 * third, image.shape[1] // 8]
    bright = np.flatnonzero((column > 150) & (column < 250))
    dark = np.flatnonzero(column < 60)
    assert bright.mean() < dark.mean()
