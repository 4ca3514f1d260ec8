"""What a store's training pairs teach: the limits within which a model's answers must lie, by phase and region."""

from collections.abc import Iterator, Mapping

import numpy as np

from s2ldm_core.answers import limits_of, measured, regions_of
from s2ldm_core.body import body_mask
from s2ldm_core.intensity import gate
from train.store import PairStore

_MOST_CASES = 96


def answer_limits(
    store: PairStore, *, phases: tuple[str, ...], window_hu: tuple[float, float]
) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
    """Phase → region → measure → (lowest, highest), HU, of at most 96 cases of ``store``, evenly chosen."""
    chosen = np.unique(np.linspace(0, len(store) - 1, min(len(store), _MOST_CASES)).round().astype(int))
    return {
        phase: limits_of(_slices(store, [int(n) for n in chosen], phase=phase, window_hu=window_hu)) for phase in phases
    }


def _slices(
    store: PairStore, numbers: list[int], *, phase: str, window_hu: tuple[float, float]
) -> Iterator[tuple[str, Mapping[str, float]]]:
    for case in (store[number] for number in numbers):
        if phase not in case.changes:
            continue
        native = np.asarray(case.native, np.float32)
        if case.noise is not None:
            native = native + np.asarray(case.noise, np.float32)
        # As an answer is: nothing outside the body, in air or in dense bone; what was not measured is nobody's example.
        body = body_mask(native, case.spacing_mm)
        change = np.asarray(case.changes[phase], np.float32) * gate(native, window_hu=window_hu)
        if phase in case.valid:
            body &= np.asarray(case.valid[phase])
        found = measured(native, change, body)
        for index, region in enumerate(regions_of(native, case.spacing_mm)):
            yield region, {name: float(values[index]) for name, values in found.items()}
