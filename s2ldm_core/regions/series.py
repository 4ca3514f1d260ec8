"""Which parts of the body a series shows, slice by slice, and whether that is a torso."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from s2ldm_core.problem import Problem
from s2ldm_core.regions.classifier import Classifier, bundled
from s2ldm_core.regions.features import REGIONS, slice_features

#: The regions of a torso, from the shoulders to the pelvis.
TORSO = frozenset({"shoulder", "thorax", "upper_abdomen", "lower_abdomen", "pelvis"})

# Regions do not change within so many mm: what a slice shows is judged with its neighbours.
_SMOOTH_MM = 10.0
# Thinner slices than this are looked at every so many mm, and those between judged by the nearest.
_LOOK_MM = 5.0
# From this probability on (or below its opposite) the image decides; between, it is doubtful.
_SURE = 0.75
# A chest begins in the neck and a pelvis ends in the thighs: so much of a series may lie outside the torso.
_MOST_OUTSIDE = 0.2
_LEAST_TORSO = 0.1
# In a narrower field that lies within the body no outline is seen, and a spine looks like a limb.
_NARROW_MM = 100.0
# Below lung, above the air around a patient.
_AIR_HU = -950.0
_WORDS = {
    "head": "head",
    "neck": "neck",
    "shoulder": "shoulders",
    "thorax": "thorax",
    "upper_abdomen": "upper abdomen",
    "lower_abdomen": "lower abdomen",
    "pelvis": "pelvis",
    "extremity": "an arm, a leg or one shoulder",
    "other": "no body (a phantom, or nothing)",
}
_REMEDY = "Route only series of the torso here, or set the route's anatomy to any if its model was made for more."


@dataclass(frozen=True, kw_only=True)
class RegionJudgement:
    """What a series shows.

    Attributes
    ----------
    regions
        For each slice the likeliest of `REGIONS`.
    torso
        For each slice the probability, 0..1, that it lies within the torso.
    shares
        Share of the slices of each region that occurs, largest first.
    problem
        ``not_torso``, ``partly_torso`` or ``region_unknown``; ``None`` when the series shows a torso, or nobody could
        say.
    narrow
        Whether the field of view is so narrow and so far inside that no outline of the body is seen.
    """

    regions: tuple[str, ...]
    torso: tuple[float, ...]
    shares: dict[str, float]
    problem: Problem | None
    narrow: bool = False

    @property
    def sure(self) -> bool:
        """Whether the image decides alone: most slices are surely inside the torso, or surely outside."""
        if self.narrow:
            return False
        certain = [one >= _SURE or one <= 1.0 - _SURE for one in self.torso]
        return float(np.mean(certain)) >= 1.0 - _MOST_OUTSIDE

    @property
    def within_torso(self) -> bool:
        """Whether the slices, all in all, are those of a torso."""
        return self.problem is None and float(np.mean(self.torso)) >= 0.5

    @property
    def outside(self) -> tuple[int, ...]:
        """Indices of the slices that rather lie outside the torso."""
        return tuple(index for index, one in enumerate(self.torso) if one < 0.5)


def judge_regions(
    hu: np.ndarray, spacing_mm: tuple[float, float, float], *, classifier: Classifier | None = None
) -> RegionJudgement:
    """Judge a series by its slices.

    Parameters
    ----------
    hu
        ``(D, H, W)`` HU of axial slices, in any order of head and feet and however the patient lies; a grid of 4 mm is
        enough, finer ones are averaged.
    spacing_mm
        ``(dz, dy, dx)``.
    classifier
        Instead of the bundled one.
    """
    stride = max(1, round(_LOOK_MM / spacing_mm[0]))
    seen = (classifier or bundled()).probabilities(slice_features(hu[::stride], spacing_mm))
    single = seen[np.minimum((np.arange(len(hu)) + stride // 2) // stride, len(seen) - 1)]
    logs = gaussian_filter1d(np.log(single + 1e-4), _SMOOTH_MM / spacing_mm[0], axis=0, mode="nearest")
    probability = np.exp(logs)
    probability /= probability.sum(axis=1, keepdims=True)
    torso = probability[:, [name in TORSO for name in REGIONS]].sum(axis=1)
    regions = tuple(REGIONS[index] for index in probability.argmax(axis=1))
    count = Counter(regions)
    field_mm = min(hu.shape[1] * spacing_mm[1], hu.shape[2] * spacing_mm[2])
    narrow = field_mm < _NARROW_MM and _within_body(hu)
    problem = _problem(regions, torso)
    if problem is not None and narrow:
        problem = _unknown(field_mm)
    return RegionJudgement(
        regions=regions,
        torso=tuple(float(one) for one in torso),
        shares={name: number / len(regions) for name, number in count.most_common()},
        problem=problem,
        narrow=narrow,
    )


def _within_body(hu: np.ndarray) -> bool:
    """Whether the body goes on beyond the edge of the field, for the most part of it."""
    edges = (hu[:, 0], hu[:, -1], hu[:, :, 0], hu[:, :, -1])
    return float(np.mean([np.mean(edge > _AIR_HU) for edge in edges])) > 0.5


def _unknown(field_mm: float) -> Problem:
    return Problem(
        "region_unknown",
        f"The field of view of {field_mm:.0f} mm is too small to tell by the images that they show a torso.",
        "State the part in Body Part Examined, or set the route's anatomy to any if its model was made for more.",
    )


def _problem(regions: Sequence[str], torso: np.ndarray) -> Problem | None:
    outside = torso < 0.5
    if outside.mean() <= _MOST_OUTSIDE:
        return None
    names = Counter(name for name, out in zip(regions, outside, strict=True) if out and name not in TORSO)
    shown = " and ".join(_WORDS[name] for name, _ in names.most_common(2)) or "something else"
    if np.count_nonzero(~outside) < _LEAST_TORSO * len(outside):
        return Problem("not_torso", f"The images show no torso but {shown}, on {_slices(outside)}.", _REMEDY)
    return Problem(
        "partly_torso",
        f"Only a part of the series shows the torso: {_slices(outside)} show {shown}.",
        f"Send the torso as a series of its own. {_REMEDY}",
    )


def _slices(outside: np.ndarray) -> str:
    """Runs of slices, counted from one: ``slices 1 to 40 and 52 of 80``."""
    numbers = np.flatnonzero(outside) + 1
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    if outside.all():
        return f"all {len(outside)} slices" if len(outside) > 1 else "its one slice"
    named = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"slices {', '.join(named)} of {len(outside)}"
