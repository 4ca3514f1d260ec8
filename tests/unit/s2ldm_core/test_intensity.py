"""HU to network units and back, and the gate."""

import numpy as np
import pytest
import torch

from s2ldm_core.intensity import gate, unit_change_to_hu, unit_to_window, window_to_unit


def test_the_window_maps_to_minus_one_and_one() -> None:
    hu = np.array([-1024.0, -200.0, 150.0, 500.0, 3000.0], dtype=np.float32)
    assert window_to_unit(hu) == pytest.approx([-1.0, -1.0, 0.0, 1.0, 1.0])


def test_units_map_back_without_clipping() -> None:
    assert unit_to_window(np.array([-1.0, 0.0, 1.0, 1.2])) == pytest.approx([-200.0, 150.0, 500.0, 570.0])


def test_a_change_has_no_offset() -> None:
    assert unit_change_to_hu(np.array([0.0, 0.5, -2.0])) == pytest.approx([0.0, 175.0, -700.0])


def test_another_window_is_taken() -> None:
    hu = np.array([-160.0, 240.0], dtype=np.float32)
    assert window_to_unit(hu, window_hu=(-160, 240)) == pytest.approx([-1.0, 1.0])


def test_the_gate_is_one_in_soft_tissue_and_exactly_zero_in_air_and_bone() -> None:
    hu = np.array([-1024, -300, -250, -200, 40, 400, 450, 500, 2000], dtype=np.float32)
    assert gate(hu).tolist() == [0, 0, 0.5, 1, 1, 1, 0.5, 0, 0]


def test_the_gate_is_monotone_on_its_ramps() -> None:
    rise = gate(np.arange(-310, -190, dtype=np.float32))
    fall = gate(np.arange(390, 510, dtype=np.float32))
    assert np.all(np.diff(rise) >= 0)
    assert np.all(np.diff(fall) <= 0)


def test_tensors_stay_tensors() -> None:
    hu = torch.tensor([-1024.0, 40.0, 2000.0])
    assert torch.equal(gate(hu), torch.tensor([0.0, 1.0, 0.0]))
    assert torch.allclose(unit_to_window(window_to_unit(hu)), torch.tensor([-200.0, 40.0, 500.0]))


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window_hu"):
        window_to_unit(np.zeros(1), window_hu=(500, -200))


def test_a_ramp_without_width_is_refused() -> None:
    with pytest.raises(ValueError, match="ramp_hu"):
        gate(np.zeros(1), ramp_hu=0)
