"""Limits of answers come from the training pairs, or from what a system can draw of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_training import write_pair
from train import answers
from train.answers import answer_limits
from train.store import PairStore


def test_what_a_system_can_draw_of_a_pair_takes_the_place_of_its_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pair(tmp_path, 0)
    store = PairStore(tmp_path)
    seen: list[list[Mapping[str, float]]] = []

    def taken(slices: Any) -> dict[str, Any]:
        seen.append([values for _, values in slices])
        return {}

    monkeypatch.setattr(answers, "limits_of", taken)
    window = (-200.0, 500.0)
    answer_limits(store, phases=("arterial",), window_hu=window)
    answer_limits(store, phases=("arterial",), window_hu=window, drawn=lambda native, change: change - 20.0)
    plain, drawn = ([one["soft"] for one in found] for found in seen)
    assert np.isfinite(plain).any()
    np.testing.assert_allclose(np.array(plain) - np.array(drawn), np.where(np.isfinite(plain), 20.0, np.nan), atol=0.5)
