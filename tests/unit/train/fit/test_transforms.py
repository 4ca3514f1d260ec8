"""Transforms of other packages: found as entry points, seeded with the crop, checked before anything starts."""

from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from s2ldm_core import extensions
from tests.thorough import thorough
from tests.tiny_training import CROP, PLAIN, fit_config, fit_until, write_pair
from train import transforms
from train.crops import CropSampler
from train.errors import TrainError
from train.fit import Fit
from train.store import PairStore
from train.transforms import Images


class Streaks:
    """As in docs/training.md."""

    def __init__(self, hu: float) -> None:
        self.hu = hu

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        streaks = rng.normal(0, self.hu, (1, 1, images.native_hu.shape[2])).astype(np.float32)
        return replace(images, native_hu=images.native_hu + streaks)


class Halving:
    """Gives other shapes than it got."""

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        return replace(images, native_hu=images.native_hu[::2])


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint(name, f"{__name__}:{name.title()}", transforms.GROUP) for name in ("streaks", "halving", "gone")
    ]
    monkeypatch.setattr(extensions, "entry_points", lambda group: points if group == transforms.GROUP else [])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_pair(tmp_path / "store", 0)
    return tmp_path / "store"


def _data(store: Path, *named: Any) -> dict[str, Any]:
    return {"store": store, "crop": CROP, "offset_hu": 0.0, "smooth_share": 0.0, "transforms": named}


def _batch(config: Any) -> Any:
    return CropSampler(PairStore(config.data.store), config.data, phases=("arterial",), seed=0).batch(stage=0, step=0)


def test_a_transform_changes_every_crop_by_its_own_seed(store: Path, tmp_path: Path) -> None:
    plain = _batch(fit_config(store, tmp_path, data=_data(store)))
    config = fit_config(store, tmp_path, data=_data(store, {"name": "streaks", "options": {"hu": 30}}))
    one, again = _batch(config), _batch(config)
    assert torch.equal(one.source, again.source)
    added = (one.source - plain.source)[0, 0] * 350
    assert 15 < added[:, 0].std() < 50
    torch.testing.assert_close(added[0], added[0, :1].expand_as(added[0]), atol=1e-3, rtol=0)
    assert torch.equal(one.change, plain.change)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"name": "streak"}, "did you mean streaks"),
        ({"name": "streaks"}, "cannot be made.*hu"),
        ({"name": "gone"}, "cannot be made"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_configuration(
    store: Path, tmp_path: Path, named: Any, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        fit_config(store, tmp_path, data=_data(store, named))


def test_a_transform_that_changes_shapes_is_named(store: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="halving gives native_hu another shape"):
        _batch(fit_config(store, tmp_path, data=_data(store, {"name": "halving"})))


@thorough
def test_a_killed_run_with_a_transform_resumes_bit_for_bit(store: Path, tmp_path: Path) -> None:
    changes = {"network": PLAIN, "data": _data(store, {"name": "streaks", "options": {"hu": 10}})}
    expected = Fit(fit_config(store, tmp_path / "whole", steps=2, **changes)).fit().state_dict()
    fit_until(fit_config(store, tmp_path / "killed", steps=2, **changes), stage=1, step=1)
    found = Fit(fit_config(store, tmp_path / "killed", steps=2, **changes)).fit().state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
