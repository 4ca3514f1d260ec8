"""What an answer costs is that of its own process, whoever starts it."""

from pathlib import Path

import numpy as np
import pytest

from s2ldm_core.volume import Volume
from tests.tiny_model import write_tiny_package
from train.ablation.cost import cost_of, forget_peak, peak_gib


def test_memory_is_measured_though_the_process_that_asks_is_larger(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    held = np.ones(2**28)  # 2 GiB

    volume = Volume(hu=np.zeros((64, 192, 192), np.float32), affine=np.eye(4))
    cost = cost_of(package, volume, phase="arterial", device="cpu", threads=1)

    assert held.nbytes == 2**31
    assert 0.005 < cost.memory_gib < 2
    assert cost.parameters > 0
    assert cost.processor_seconds is not None
    assert cost.processor_seconds > 0


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells")
def test_a_peak_that_is_over_does_not_hide_the_next_one() -> None:
    forget_peak()
    before = peak_gib()
    first = np.ones(2**26)  # 0.5 GiB
    most = peak_gib()
    assert most > before + 0.4
    del first
    forget_peak()
    assert peak_gib() < most - 0.4
