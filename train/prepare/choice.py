"""Which of several series of a phase fits the others of its study best, and by what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from train.prepare.layouts import Candidate
from train.prepare.reconstruction import is_derived, is_sharp, kernel
from train.prepare.series import Series

# Of the length that is to be covered: less is an edge slice more or less.
_COVERAGE_STEP: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Trait:
    """One thing that series are compared by: less is better; ``words`` say what it is for this series."""

    value: float
    words: str


def best_of(candidates: Sequence[Candidate], partners: Sequence[Series]) -> Candidate:
    """The series that fits its partners best: an original before a derived image, a soft before a sharp kernel, what covers more,
    then what was reconstructed like them; the name decides what is alike in all.
    """
    return min(candidates, key=lambda one: (*(trait.value for trait in traits(one.series, partners)), one.series.name))


def why_better(best: Series, other: Series, partners: Sequence[Series]) -> str:
    """By what the chosen series fits better than another of its phase."""
    for chosen, left in zip(traits(best, partners), traits(other, partners), strict=True):
        if chosen.value != left.value:
            return f"{best.name} fits better: {chosen.words}, this one {left.words}"
    return f"{best.name} is like it in all that is compared and comes first by name"


def traits(series: Series, partners: Sequence[Series]) -> tuple[Trait, ...]:
    """What a series is compared by, the most important first."""
    facts, name = series.facts, kernel(series.facts) or "not named"
    shared = sum(overlap_mm(series, one) or 0.0 for one in partners)
    wanted = sum(length_mm(one) for one in partners)
    part = shared / wanted if wanted else 1.0
    unlike = sum(_unlike(series, one) for one in partners)
    dz = series.spacing_mm[0] if series.spacing_mm else 0.0
    return (
        Trait(value=float(is_derived(facts)), words="a derived image" if is_derived(facts) else "an original image"),
        Trait(value=float(is_sharp(facts)), words=f"{'sharp' if is_sharp(facts) else 'soft'} kernel ({name})"),
        Trait(value=-round(part / _COVERAGE_STEP), words=f"{part:.0%} of the other phases covered"),
        Trait(value=unlike, words=f"kernel {name}, slices {dz:.2f} mm apart, beside the other phases'"),
        Trait(value=-shared, words=f"{shared:.0f} mm in common with the other phases"),
    )


def overlap_mm(one: Series, other: Series) -> float | None:
    """Common length along z; ``None`` when the series lie in different frames of reference or nowhere."""
    if one.corners_mm is None or other.corners_mm is None or one.frame_of_reference_uid != other.frame_of_reference_uid:
        return None
    low = max(one.corners_mm[0][2], other.corners_mm[0][2])
    high = min(one.corners_mm[1][2], other.corners_mm[1][2])
    return max(0.0, high - low)


def length_mm(series: Series) -> float:
    """Along z, between the centres of the first and the last slice."""
    return 0.0 if series.corners_mm is None else series.corners_mm[1][2] - series.corners_mm[0][2]


def _unlike(one: Series, other: Series) -> float:
    """How differently two series were reconstructed: slice distance in mm, and 5 for another kernel."""
    kernels = (one.facts.get("ConvolutionKernel"), other.facts.get("ConvolutionKernel"))
    dz = abs(one.spacing_mm[0] - other.spacing_mm[0]) if one.spacing_mm and other.spacing_mm else 0.0
    return dz + (5.0 if None not in kernels and kernels[0] != kernels[1] else 0.0)
