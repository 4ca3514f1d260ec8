"""Whether a slice goes on where its neighbour ends: then it is in the neighbour's units, whatever little it shows."""

from collections.abc import Sequence

import numpy as np

_AIR_HU = -850.0
_TISSUE_HU = -300.0
_SOME = 0.05
# Noise and a tissue's edge between two slices; the air of other units differs by more.
_ALIKE_HU = 200.0
# A table begins between two slices; in other units hardly any of the air lies within reach.
_LEAST = 0.3


def discontinuous(hu: np.ndarray, suspects: Sequence[int]) -> list[int]:
    """Those of the suspects that cannot be reached from a slice beyond suspicion by slices that go on where one ends.

    A coronal or sagittal slice that grazes the skin or the table holds no tissue that its values could be told by.

    Parameters
    ----------
    hu
        ``(D, H, W)`` as `s2ldm_core.hounsfield.judge_hounsfield` takes it.
    """
    left = set(suspects)
    reached = [index for index in range(len(hu)) if index not in left]
    while reached:
        index = reached.pop()
        for other in (index - 1, index + 1):
            if other in left and _goes_on(hu[other], hu[index]):
                left.remove(other)
                reached.append(other)
    return sorted(left)


def _goes_on(plane: np.ndarray, neighbour: np.ndarray) -> bool:
    """Whether air lies where the neighbour has it; where that has none, tissue where it has tissue."""
    alike = np.abs(plane - neighbour) <= _ALIKE_HU
    air = neighbour < _AIR_HU
    there = alike[air] if air.mean() > _SOME else alike[neighbour > _TISSUE_HU]
    return there.size > 0 and float(there.mean()) >= _LEAST
