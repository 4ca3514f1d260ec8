"""What was seen in values that are no Hounsfield units, and what to do about it, for a PACS administrator."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from s2ldm_core.hounsfield.findings import Finding
from s2ldm_core.hounsfield.landmarks import SliceValues
from s2ldm_core.problem import Problem

_SEND_ORIGINAL = "Send the original CT images of the scanner, not pictures, fused images or converted ones."
_LOOK_AT_RESCALE = "Compare Rescale Intercept and Rescale Slope with those of the scanner's own images, and send these."
_LOOK_AT_BITS = (
    "Have the system that wrote or converted the images checked for Bits Stored, High Bit and overlays in the pixels."
)
_NAMED = 8
# Below what noise makes of air at zero: bone with its sign turned.
_NEGATIVE = -150.0


def describe_units(wrong: Sequence[SliceValues], why: Counter[Finding]) -> Problem:
    """The problem of a series none of whose values are HU."""
    sentence, remedy = _explained(wrong, why)
    return Problem("not_hounsfield", f"The values are not Hounsfield units: {sentence}.", remedy)


def describe_mixed(
    wrong: Sequence[SliceValues], why: Counter[Finding], *, slices: Sequence[int], count: int
) -> Problem:
    """The problem of a series some of whose slices are in other units; slices are counted from one in the sentence."""
    sentence, _ = _explained(wrong, why)
    named = ", ".join(str(index + 1) for index in slices[:_NAMED])
    if len(slices) > _NAMED:
        named += f" and {len(slices) - _NAMED} more"
    which = f"slice {named} has" if len(slices) == 1 else f"{len(slices)} slices ({named}) have"
    return Problem(
        "mixed_units",
        f"Of {count} slices along the normal, {which} other units than the rest: there, {sentence}.",
        "Send the series again from the scanner; do not mix its images with converted ones.",
    )


def _explained(wrong: Sequence[SliceValues], why: Counter[Finding]) -> tuple[str, str]:
    if not wrong:
        return "all pixels have the same value or are padding", _SEND_ORIGINAL
    low = float(np.median([values.low for values in wrong]))
    high = float(np.median([values.high for values in wrong]))
    least = float(np.median([values.least for values in wrong]))
    first = float(np.median([values.background for values in wrong]))
    last = _main_peak(wrong)
    between = f"they lie between {low:.4g} and {high:.4g}"
    if high - low < 15.0:
        return f"{between}, as in maps of attenuation, density or uptake", _SEND_ORIGINAL
    if low < _NEGATIVE and abs(first) < 200.0 and last > 600.0:
        return f"air lies at {last:.0f} and tissue around {first:.0f}: the sign is turned", _LOOK_AT_RESCALE
    if abs(first) <= 60.0 and 900.0 <= last <= 1250.0:
        return (
            f"air lies at {first:.0f} and soft tissue at {last:.0f}: the rescale intercept is missing",
            _LOOK_AT_RESCALE,
        )
    if least >= -2.0 and 150.0 <= high <= 255.0:
        return f"{between}: grey values of a window, of 8 bits", _SEND_ORIGINAL
    if why.most_common(1)[0][0] is Finding.NO_TISSUE:
        return f"{between}, nothing where soft tissue (0 to 100 HU) should be", _LOOK_AT_RESCALE
    if why[Finding.SATURATED]:
        return (
            f"{between}, and {max(values.saturated for values in wrong):.0%} of the tissue has the highest value: "
            "grey values of a window",
            _SEND_ORIGINAL,
        )
    if why.most_common(1)[0][0] is Finding.ABOVE:
        return (
            f"{max(values.above for values in wrong):.0%} of the pixels lie above {3100} HU (up to {high:.0f}): "
            "bits are shifted, or others lie above the stored ones",
            _LOOK_AT_BITS,
        )
    if why.most_common(1)[0][0] in (Finding.SQUEEZED, Finding.WATERY):
        return f"{between}, with fat and air hardly below tissue: bits are shifted or the slope is wrong", _LOOK_AT_BITS
    if low >= -20.0:
        return f"nothing lies below zero, where air and fat are ({between})", _SEND_ORIGINAL
    return (
        f"their peaks lie at {_listed(wrong)}, not at air (-1000), fat (-100) and soft tissue (0 to 100)",
        _LOOK_AT_RESCALE,
    )


def _main_peak(wrong: Sequence[SliceValues]) -> float:
    highest = [values.peaks[-1] for values in wrong if values.peaks]
    return float(np.median(highest)) if highest else float(np.median([values.high for values in wrong]))


def _listed(wrong: Sequence[SliceValues]) -> str:
    middle = sorted(wrong, key=lambda values: values.background)[len(wrong) // 2]
    return ", ".join(f"{peak:.0f}" for peak in middle.peaks) or f"{middle.low:.0f} to {middle.high:.0f}"
