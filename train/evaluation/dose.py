"""Organs of a scan compared after one common factor.

How much contrast medium a patient got, and how fast the heart pumped it on, no native scan tells: a right answer may be too bright or too
pale everywhere alike. What is left once that is taken out says whether the organs are right among themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from train.evaluation.records import ScanRecord

ENHANCES_HU, STILL_HU = 20.0, 12.0
"""True change from which an organ enhances, and up to which it stays as it is; between them it is neither."""
WITHIN = (0.75, 1.33)
"""What an organ's recovery over the common factor must lie within."""
FEWEST_VOXELS = 100
"""Of an organ in a scan: the mean of fewer is noise."""
_FEWEST_ORGANS = 3
_GAS_HU = -200.0
"""Mean of the native scan below which an organ is lung or gas: it changes with breath and bowel, not with contrast."""


@dataclass(frozen=True, kw_only=True)
class Dose:
    """One system's answer to one scan."""

    factor: float | None
    """Median of predicted over true change of the organs that enhance; ``None`` where these are fewer than three, or it is not above 0."""
    recovered: Mapping[str, float]
    """Organ that enhances → its recovery over the factor; empty without one."""
    still_hu: Mapping[str, float]
    """Organ that does not → predicted less true change."""

    @property
    def wrong(self) -> dict[str, float]:
        """The organs of ``recovered`` that are not within `WITHIN`."""
        return {organ: ratio for organ, ratio in self.recovered.items() if not WITHIN[0] <= ratio <= WITHIN[1]}

    @property
    def moved(self) -> dict[str, float]:
        """The organs of ``still_hu`` that are off by more than `STILL_HU`."""
        return {organ: error for organ, error in self.still_hu.items() if abs(error) > STILL_HU}


def dose(record: ScanRecord, label: str) -> Dose:
    """Of the answer of the system ``label``."""
    recovered, still = {}, {}
    for organ, truth in record.organs.items():
        if truth.voxels < FEWEST_VOXELS or truth.source_hu < _GAS_HU:
            continue
        true, predicted = truth.target_hu - truth.source_hu, record.systems[label].organ_hu[organ] - truth.source_hu
        if true >= ENHANCES_HU:
            recovered[organ] = predicted / true
        elif abs(true) <= STILL_HU:
            still[organ] = predicted - true
    factor = float(np.median(list(recovered.values()))) if len(recovered) >= _FEWEST_ORGANS else 0.0
    if factor <= 0.0:
        return Dose(factor=None, recovered={}, still_hu=still)
    return Dose(factor=factor, recovered={organ: value / factor for organ, value in recovered.items()}, still_hu=still)


def worst(found: Sequence[Mapping[str, float]], *, by_ratio: bool) -> list[tuple[str, float]]:
    """Organs of all scans with the median of their values, those that are farthest from 1 (``by_ratio``) or from 0 first."""
    names = dict.fromkeys(organ for values in found for organ in values)
    medians = [(organ, float(np.median([values[organ] for values in found if organ in values]))) for organ in names]

    def distance(item: tuple[str, float]) -> float:
        return abs(np.log(max(item[1], 1e-3))) if by_ratio else abs(item[1])

    return sorted(medians, key=distance, reverse=True)
