"""Hounsfield units to network units and back, and the gate that protects what must not change.

Every function takes a NumPy array or a torch tensor of any shape and returns the same kind.
"""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

ArrayT = TypeVar("ArrayT", np.ndarray, "torch.Tensor")

#: Window of the product's models, HU. The S2LDM paper's is [-200, 200], which clips the arterial aorta.
DEFAULT_WINDOW_HU = (-200.0, 500.0)


def window_to_unit(hu: ArrayT, *, window_hu: tuple[float, float] = DEFAULT_WINDOW_HU) -> ArrayT:
    """Clip HU to a window and map it linearly to [-1, 1].

    Raises
    ------
    ValueError
        When the window's upper bound is not above its lower one.
    """
    low, high = _bounds(window_hu)
    return (hu.clip(low, high) - low) * (2.0 / (high - low)) - 1.0


def unit_to_window(unit: ArrayT, *, window_hu: tuple[float, float] = DEFAULT_WINDOW_HU) -> ArrayT:
    """Map [-1, 1] linearly to the window's HU. Values outside [-1, 1] are not clipped: a change may exceed it."""
    low, high = _bounds(window_hu)
    return (unit + 1.0) * ((high - low) / 2.0) + low


def unit_change_to_hu(unit_change: ArrayT, *, window_hu: tuple[float, float] = DEFAULT_WINDOW_HU) -> ArrayT:
    """Difference of two values in network units as a difference in HU (no offset)."""
    low, high = _bounds(window_hu)
    return unit_change * ((high - low) / 2.0)


def gate(source_hu: ArrayT, *, window_hu: tuple[float, float] = DEFAULT_WINDOW_HU, ramp_hu: float = 100.0) -> ArrayT:
    r"""Weight in [0, 1] by which a predicted change is multiplied, from the source's HU.

    .. math:: g(h) = s\!\left(\frac{h - (l - r)}{r}\right) s\!\left(\frac{u - h}{r}\right), \quad s(t) = 3t^2 - 2t^3

    with :math:`t` clipped to [0, 1], window :math:`(l, u)` and ramp :math:`r`. It is exactly 0 at and below
    :math:`l - r` (air, lung) and at and above :math:`u` (bone), so that those voxels keep the source's HU
    exactly, and exactly 1 from :math:`l` to :math:`u - r`.
    """
    low, high = _bounds(window_hu)
    if ramp_hu <= 0:
        raise ValueError(f"ramp_hu must be positive, not {ramp_hu}")
    return _smooth_step((source_hu - (low - ramp_hu)) / ramp_hu) * _smooth_step((high - source_hu) / ramp_hu)


def _smooth_step(t: ArrayT) -> ArrayT:
    t = t.clip(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _bounds(window_hu: tuple[float, float]) -> tuple[float, float]:
    low, high = float(window_hu[0]), float(window_hu[1])
    if not low < high:
        raise ValueError(f"window_hu must run from lower to higher HU, not {window_hu}")
    return low, high
