"""Losses of other packages: found as entry points, added by their weight, needed in training alone."""

from importlib.metadata import EntryPoint
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from s2ldm_core import extensions
from s2ldm_core.errors import ExtensionError
from s2ldm_core.systems import Batch, Condition, build_system
from s2ldm_core.systems.change_loss import GROUP, TRAINING, ChangeLossConfig, change_loss


class Vessels:
    """As in docs/training.md."""

    def __init__(self, above: float) -> None:
        self.above = above

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        bright = batch.change > self.above if batch.valid is None else (batch.change > self.above) & batch.valid
        return torch.where(bright, (image - batch.target).square(), 0.0).mean()


FURTHER = {"name": "vessels", "weight": 0.5, "options": {"above": 0.3}}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint(name, f"{__name__}:{name.title()}", GROUP) for name in ("vessels", "gone")]
    monkeypatch.setattr(extensions, "entry_points", lambda group: points if group == GROUP else [])


@pytest.fixture
def batch() -> Batch:
    change = torch.zeros(1, 1, 1, 2, 2)
    change[..., 0, :] = 0.4
    images = {"source": torch.zeros_like(change), "change": change}
    valid = torch.ones_like(change, dtype=torch.bool)
    valid[..., 0, 1] = False
    return Batch(images=images, condition=Condition(phase=torch.tensor([0])), valid=valid)


@pytest.mark.usefixtures("installed")
def test_it_joins_the_others_by_its_weight_and_stands_in_the_history(batch: Batch) -> None:
    image = torch.full_like(batch.target, 0.1)
    plain, _ = change_loss(image, batch, ChangeLossConfig())
    total, parts = change_loss(image, batch, ChangeLossConfig.model_validate({"further": [FURTHER]}))
    assert parts["vessels"].item() == pytest.approx(0.3**2 / 4)
    assert (total - plain).item() == pytest.approx(0.5 * 0.3**2 / 4)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("further", "told"),
    [
        ({"name": "vessel"}, "did you mean vessels"),
        ({"name": "vessels"}, "above"),
        ({"name": "gone"}, "cannot be made"),
    ],
)
@pytest.mark.parametrize("system", ["s2ldm", "unet", "cdm"])
def test_what_cannot_be_made_is_refused_before_training(system: str, further: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        build_system(system, {"loss": {"further": [{"weight": 1, **further}]}}, context=TRAINING)


@pytest.mark.usefixtures("installed")
def test_a_system_without_a_predicted_image_refuses_it() -> None:
    with pytest.raises(ValidationError, match="no further losses"):
        build_system("aldm", {"voxels": {"further": [FURTHER]}}, context=TRAINING)


def test_a_trained_package_is_used_without_the_package_that_offered_it(batch: Batch) -> None:
    """Nothing is looked up where the system only answers; training it on says what is missing."""
    loss = ChangeLossConfig.model_validate({"further": [{**FURTHER, "name": "far away"}]})
    with pytest.raises(ExtensionError, match=r"'far away' in s2ldm\.losses"):
        change_loss(batch.source, batch, loss)
