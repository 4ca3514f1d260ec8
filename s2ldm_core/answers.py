"""Whether an answer lies within what a model was taught: the change of each slice's tissues, by region of the body.

Tissues are told by the native HU alone, smoothed, since nobody labels a patient: fat, soft tissue and bone. Training pairs give the limits
of each measure (`train.answers`), which travel in the package; a translation that leaves them in several slices is refused.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from s2ldm_core.problem import Problem
from s2ldm_core.regions import TORSO, judge_regions

Limits = Mapping[str, Mapping[str, tuple[float, float]]]
"""Region → measure → lowest and highest of a slice, HU."""

MEASURES: Final = {
    "fat": "the mean change of fat",
    "bone": "the mean change of bone",
    "soft": "the mean change of soft tissue",
    "most": "what the most enhancing hundredth of soft tissue gains",
    "least": "what the least enhancing hundredth of soft tissue gains",
}
_TISSUES_HU: Final = {"fat": (-140.0, -60.0), "soft": (5.0, 90.0), "bone": (180.0, 600.0)}
_ONE_SIDED: Final = ("least",)
"""Measures without a highest value: where a pair does not lie quite alike, some soft tissue always loses, and a model that answers with
the mean of what it saw rightly shows none of that. Soft tissue that gains too much as a whole is seen in its mean."""
_SIGMA = 1.5
"""Pixels, of a model grid of about 1.5 mm: noise is gone, a vessel of a centimetre is not."""
_FEWEST_VOXELS = 150
_FEWEST_SLICES, _SHARE = 3, 0.1


def measured(native_hu: np.ndarray, change_hu: np.ndarray, body: np.ndarray) -> dict[str, np.ndarray]:
    """Each of `MEASURES` for each slice, ``(D,)`` HU, NaN where a slice has too little of the tissue; arguments ``(D, H, W)``."""
    sigma = (0.0, _SIGMA, _SIGMA)
    native, change = (
        gaussian_filter(np.asarray(hu, np.float32), sigma, mode="nearest", truncate=3.0)
        for hu in (native_hu, change_hu)
    )
    found = {name: np.full(len(native), np.nan) for name in MEASURES}
    for number, (hu, gain, inside) in enumerate(zip(native, change, body, strict=True)):
        for tissue, (low, high) in _TISSUES_HU.items():
            values = gain[(hu > low) & (hu < high) & inside]
            if values.size < _FEWEST_VOXELS:
                continue
            found[tissue][number] = values.mean()
            if tissue == "soft":
                found["least"][number], found["most"][number] = np.percentile(values, (1.0, 99.0))
    return found


def regions_of(native_hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[str, ...]:
    """The likeliest region of each slice, by the image."""
    return judge_regions(native_hu, spacing_mm).regions


def judge_answer(
    native_hu: np.ndarray,
    change_hu: np.ndarray,
    *,
    body: np.ndarray,
    spacing_mm: tuple[float, float, float],
    limits: Limits,
) -> Problem | None:
    """``answer_out_of_distribution`` when more than a few slices leave the limits of their region, all on the model's grid.

    Slices of a region that training had none of are not judged here: whether such a series is let in, the route's ``anatomy`` says.
    """
    found = measured(native_hu, change_hu, body)
    regions = regions_of(native_hu, spacing_mm)
    for name, values in found.items():
        low, high = (np.array(ends) for ends in zip(*_ends(name, regions, limits), strict=True))
        if name in _ONE_SIDED:
            high = np.full_like(high, np.inf)
        wrong = np.flatnonzero((values < low) | (values > high))
        judged = np.count_nonzero(np.isfinite(values) & np.isfinite(low))
        if len(wrong) >= max(_FEWEST_SLICES, _SHARE * judged):
            worst = int(wrong[np.argmax(np.maximum(low - values, values - high)[wrong])])
            return Problem(
                "answer_out_of_distribution",
                f"The model's answer is unlike all it was taught: in {len(wrong)} of {judged} slices {MEASURES[name]} lies outside of what "
                f"training had there, at worst {values[worst]:.0f} HU where {_range(low[worst], high[worst])} was seen "
                f"({regions[worst].replace('_', ' ')}).",
                "Look at the source: anatomy, implants or an acquisition that the model does not know. Another model may know it.",
            )
    return None


def _range(low: float, high: float) -> str:
    return f"{low:.0f} to {high:.0f}" if np.isfinite(high) else f"{low:.0f} or more"


_QUANTILES = (0.5, 99.5)


def limits_of(
    slices: Iterable[tuple[str, Mapping[str, float]]], *, fewest: int = 40
) -> dict[str, dict[str, tuple[float, float]]]:
    """Limits from ``slices``, the region and the measures of each: all but one of two hundred at either end, widened by a fifth of
    their distance and 5 HU. Regions of the torso with at least ``fewest`` slices get them.
    """
    seen: dict[str, dict[str, list[float]]] = {}
    for region, values in slices:
        for name, value in values.items():
            if np.isfinite(value) and region in TORSO:
                seen.setdefault(region, {}).setdefault(name, []).append(float(value))
    limits: dict[str, dict[str, tuple[float, float]]] = {}
    for region, by_name in seen.items():
        for name, numbers in by_name.items():
            if len(numbers) >= fewest:
                low, high = (float(end) for end in np.percentile(numbers, _QUANTILES))
                room = 0.2 * (high - low) + 5.0
                limits.setdefault(region, {})[name] = (round(low - room, 1), round(high + room, 1))
    return limits


def limits_between(limits: Mapping[str, Limits], weights: Mapping[str, float]) -> Limits:
    """What the weighted sum of answers must lie within where each phase's answer must lie within ``limits``.

    Regions and measures that a phase has no limits for have none.
    """
    first, *others = (limits.get(phase, {}) for phase in weights)
    shared = {
        region: [name for name in measures if all(name in other.get(region, {}) for other in others)]
        for region, measures in first.items()
    }

    def ends(region: str, name: str) -> tuple[float, float]:
        each = [sorted(weight * end for end in limits[phase][region][name]) for phase, weight in weights.items()]
        return sum(low for low, _ in each), sum(high for _, high in each)

    return {region: {name: ends(region, name) for name in names} for region, names in shared.items() if names}


def _ends(name: str, regions: Iterable[str], limits: Limits) -> list[tuple[float, float]]:
    return [limits.get(region, {}).get(name, (-np.inf, np.inf)) for region in regions]
