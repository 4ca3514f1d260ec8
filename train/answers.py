"""What a store's training pairs teach: the limits within which a model's answers must lie, by phase and region."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from s2ldm_core.answers import limits_of, measured, regions_of
from s2ldm_core.body import body_mask
from s2ldm_core.intensity import gate
from train.store import Case, PairStore

_MOST_CASES = 96
_Slice = tuple[str, Mapping[str, float]]
Drawn = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Native image and its change ``(D, H, W)`` HU → the change as the system that is taught can draw it at best."""


def answer_limits(
    store: PairStore, *, phases: tuple[str, ...], window_hu: tuple[float, float], drawn: Drawn | None = None
) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
    """Phase → region → measure → (lowest, highest), HU, of at most 96 cases of ``store``, evenly chosen.

    ``drawn``: of a system that draws the whole image anew, whose every answer lacks what its latents cannot hold.
    """
    chosen = np.unique(np.linspace(0, len(store) - 1, min(len(store), _MOST_CASES)).round().astype(int))
    slices: dict[str, list[_Slice]] = {phase: [] for phase in phases}
    for number in chosen:
        for phase, found in _of_case(store[int(number)], phases=phases, window_hu=window_hu, drawn=drawn):
            slices[phase] += found
    return {phase: limits_of(found) for phase, found in slices.items()}


def _of_case(
    case: Case, *, phases: tuple[str, ...], window_hu: tuple[float, float], drawn: Drawn | None
) -> Iterator[tuple[str, list[_Slice]]]:
    """As an answer is: nothing outside the body, in air or in dense bone. What was not measured is nobody's example."""
    native = case.source_hu()
    whole, regions, kept = (
        body_mask(native, case.spacing_mm),
        regions_of(native, case.spacing_mm),
        gate(native, window_hu=window_hu),
    )
    for phase in phases:
        if phase in case.changes:
            body = whole & np.asarray(case.valid[phase]) if phase in case.valid else whole
            change = np.asarray(case.changes[phase], np.float32)
            found = measured(native, (change if drawn is None else drawn(native, change)) * kept, body)
            yield (
                phase,
                [
                    (region, {name: float(values[i]) for name, values in found.items()})
                    for i, region in enumerate(regions)
                ],
            )
