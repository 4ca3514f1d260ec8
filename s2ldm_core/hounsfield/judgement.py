"""Whether a series' values are Hounsfield units, judged from the values themselves, slice by slice.

Tags cannot tell: a rescale intercept lost on the way, bits shifted or a window burnt in leave a header that looks right.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2ldm_core.hounsfield.continuity import discontinuous
from s2ldm_core.hounsfield.findings import Finding, finding
from s2ldm_core.hounsfield.landmarks import SliceValues, slice_values
from s2ldm_core.hounsfield.wording import describe_mixed, describe_units
from s2ldm_core.problem import Problem

# From this part of the slices on it is the series that is wrong, not some slices of it.
_MOST = 0.5


@dataclass(frozen=True, kw_only=True)
class HounsfieldJudgement:
    """What was seen in a series' values.

    Attributes
    ----------
    air_hu, fat_hu, soft_hu
        Median over the slices of where the values taken for air, fat and soft tissue lie; ``None`` where there are none.
    air, lung, fat, soft, dense
        Mean shares of the measured pixels, 0..1: below -850, up to -250, -150 to -50, -50 to 160, above 300 HU.
    findings
        For each slice, what speaks against HU in it, or ``None``.
    suspects
        Indices of the slices that are not in HU.
    problem
        ``not_hounsfield`` or ``mixed_units``; ``None`` when the values are Hounsfield units.
    """

    air_hu: float | None
    fat_hu: float | None
    soft_hu: float | None
    air: float
    lung: float
    fat: float
    soft: float
    dense: float
    findings: tuple[Finding | None, ...]
    suspects: tuple[int, ...]
    problem: Problem | None


def judge_hounsfield(hu: np.ndarray, *, axial: bool = True) -> HounsfieldJudgement:
    """Judge a series by all its slices.

    Parameters
    ----------
    hu
        ``(D, H, W)`` values that claim to be HU: full resolution, every n-th pixel, or block means of a few mm. Values
        below -1100 count as padding.
    axial
        Whether the slices are axial. Of others, some graze the skin: what goes on where its neighbour ends is no suspect.

    Returns
    -------
    HounsfieldJudgement
        With its ``problem`` where they are not.
    """
    seen = [slice_values(plane) for plane in hu]
    findings = [None if values is None else finding(values) for values in seen]
    bad = _bad(seen, findings)
    if not axial and len(bad) < _MOST * sum(values is not None for values in seen):
        bad = discontinuous(hu, bad)
    measured = [values for values in seen if values is not None]
    problem = None
    if not measured:
        problem = describe_units([], Counter())
    elif bad:
        wrong = [values for values in (seen[index] for index in bad) if values is not None]
        why = Counter(one for one in (findings[index] for index in bad) if one is not None)
        most = len(bad) >= _MOST * sum(values is not None for values in seen)
        problem = describe_units(wrong, why) if most else describe_mixed(wrong, why, slices=bad, count=len(hu))
    return HounsfieldJudgement(
        air_hu=_median([values.air_hu for values in measured]),
        fat_hu=_median([values.fat_hu for values in measured]),
        soft_hu=_median([values.soft_hu for values in measured]),
        air=_mean([values.air for values in measured]),
        lung=_mean([values.lung for values in measured]),
        fat=_mean([values.fat for values in measured]),
        soft=_mean([values.soft for values in measured]),
        dense=_mean([values.dense for values in measured]),
        findings=tuple(findings),
        suspects=tuple(bad),
        problem=problem,
    )


def _bad(seen: Sequence[SliceValues | None], findings: Sequence[Finding | None]) -> list[int]:
    """Slices that are not in HU: those that certainly are not, and doubtful ones where there are many or body around."""
    measured = [index for index, values in enumerate(seen) if values is not None]
    odd = [index for index in measured if findings[index] is not None]
    if len(odd) >= _MOST * len(measured):
        return odd
    good = [index for index in measured if findings[index] is None]
    return [index for index in odd if _stands_out(index, findings[index], seen[index], good)]


def _stands_out(index: int, found: Finding | None, values: SliceValues | None, good: Sequence[int]) -> bool:
    if found is None or values is None:
        return False
    if found in (Finding.FLAT, Finding.NO_TISSUE):  # the air above the head or below the feet, unless body is around
        return good[0] < index < good[-1]
    return found.certain


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
