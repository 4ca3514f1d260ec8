"""The change on its way to the model's grid and back."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from s2ldm_core import Volume
from s2ldm_core.change import Resampler, add_change
from s2ldm_core.package import PackageMetadata

METADATA = cast(PackageMetadata, SimpleNamespace(window_hu=(-200.0, 500.0), spacing_mm=(3.0, 1.5, 1.5)))


def body(depth: int, *, spacing_mm: float) -> Volume:
    """A cylinder of soft tissue, each slice 2 HU brighter than the one before."""
    _, y, x = np.mgrid[:depth, :60, :60]
    hu = np.where((y - 30) ** 2 + (x - 30) ** 2 < 24**2, 2.0 * np.arange(depth)[:, None, None], -1000.0)
    return Volume(hu=hu, affine=np.diag([1.5, 1.5, spacing_mm, 1.0]))


def test_the_model_sees_the_outermost_slices_of_a_short_stack_go_on_beyond_its_ends() -> None:
    seen: list[torch.Tensor] = []

    def predict(unit: torch.Tensor, to_model: Resampler) -> torch.Tensor:
        seen.extend([unit, to_model(volume.hu)])
        return torch.zeros_like(unit)

    volume = body(9, spacing_mm=3.0)
    add_change(volume, predict, metadata=METADATA)
    for scan in seen:
        beyond = (scan.shape[2] - 9) // 2
        assert beyond >= 1
        inside = scan[:, :, beyond:-beyond]
        assert torch.equal(scan[:, :, :beyond], inside[:, :, :1].expand(-1, -1, beyond, -1, -1))
        assert torch.equal(scan[:, :, -beyond:], inside[:, :, -1:].expand(-1, -1, beyond, -1, -1))
        middle = [float(one) for one in inside[0, 0, :, inside.shape[3] // 2, inside.shape[4] // 2]]
        assert np.allclose(np.diff(middle), 2 / 350, atol=1e-5)


def test_what_the_model_answers_for_beyond_the_ends_is_left_out_and_the_rest_lies_where_it_belongs() -> None:
    """Each slice's answer tells how bright the slice was."""

    def predict(unit: torch.Tensor, _: Resampler) -> torch.Tensor:
        answer = (unit - unit.mean()) * 10
        beyond = (unit.shape[2] - 9) // 2
        answer[:, :, :beyond] = answer[:, :, -beyond:] = float("nan")
        return answer

    volume: Any = body(9, spacing_mm=3.0)
    changed = add_change(volume, predict, metadata=METADATA).volume.hu[:, 30, 30]
    assert np.allclose(np.diff(changed - volume.hu[:, 30, 30]), 20.0, atol=0.5)


def test_a_long_stack_is_looked_at_as_it_is() -> None:
    depths: list[int] = []

    def predict(unit: torch.Tensor, _: Resampler) -> torch.Tensor:
        depths.append(unit.shape[2])
        return torch.zeros_like(unit)

    add_change(body(40, spacing_mm=3.0), predict, metadata=METADATA)
    assert depths == [40]
