"""All there is to learn the regions from, as features of slices."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2ldm_core.regions.features import REGIONS, slice_features
from train.regions.example import Example
from train.regions.painted import painted_torsos, phantom_torso
from train.regions.procedural import MAKERS, procedural
from train.regions.real import real_series
from train.regions.variants import variants

_PHANTOMS = 12
_PAINTED_SEEDS = range(2)
_PROCEDURAL = {"head": 70, "neck": 40, "legs": 70, "arm": 40, "water": 60}
_VIEWS = 3
# Slices of a patient are alike: of a long series every so many mm is enough.
_STEP_MM = 5.0
_REAL_WEIGHT = 2.0


@dataclass(frozen=True)
class Slices:
    """Features of one series (or view of one).

    Attributes
    ----------
    name, patient, real
        As of its `Example`; ``real`` where it was scanned.
    features, regions
        ``(D, F)`` and ``(D,)``.
    """

    name: str
    patient: str
    real: bool
    features: np.ndarray
    regions: np.ndarray


def made() -> Iterator[Example]:
    """Procedural series and phantoms."""
    for kind in MAKERS:
        for seed in range(_PROCEDURAL[kind]):
            yield procedural(kind, seed)
    for seed in range(_PHANTOMS):
        yield phantom_torso(seed)


def slices_of(examples: Iterable[Example], *, real: bool, views: int = _VIEWS) -> Iterator[Slices]:
    """Features of each example and its views."""
    for example in examples:
        stride = max(1, round(_STEP_MM / example.spacing_mm[0]))
        thinned = Example(
            example.name, example.patient, example.hu[::stride], example.spacing_mm, example.regions[::stride]
        )
        for view in variants(thinned, count=views, seed=0):
            yield Slices(view.name, view.patient, real, slice_features(view.hu, view.spacing_mm), view.regions)


def gather(data: Path) -> list[Slices]:
    """Everything: made, painted and real, in a fixed order."""
    return [
        *slices_of(made(), real=False),
        *slices_of(painted_torsos(data / "anatomy", seeds=_PAINTED_SEEDS), real=False),
        *slices_of(real_series(data), real=True, views=2 * _VIEWS),
    ]


def arrays(slices: Iterable[Slices]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, regions and weights of all labelled slices; regions count alike, real slices more than made ones."""
    kept = list(slices)
    features = np.concatenate([one.features for one in kept])
    regions = np.concatenate([one.regions for one in kept])
    real = np.concatenate([np.full(len(one.regions), one.real) for one in kept])
    known = regions >= 0
    counts = np.maximum(np.bincount(regions[known], minlength=len(REGIONS)), 1)
    weights = np.sqrt(counts.mean() / counts[np.maximum(regions, 0)]) * np.where(real, _REAL_WEIGHT, 1.0)
    return features[known], regions[known], weights[known]
