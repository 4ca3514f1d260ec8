"""Whether parallel slices make a stack, and where each lies when the stack is tilted or uneven."""

from itertools import pairwise

import numpy as np

from s2ldm_core.errors import GeometryError
from s2ldm_core.handling import StackHandling
from s2ldm_core.offsets import SliceOffsets

#: Wider than this between two slices, nothing is interpolated. Sequential CT leaves no more than 10 mm between slices
#: that belong together; across a wider hole the model would look at anatomy that was never scanned.
WIDEST_STEP_MM = 10.0

_DUPLICATE_MM = 0.01
# Two acquisitions of the same places lie some hundredths of a millimetre apart; overlapping slices never this close.
_DUPLICATE_FRACTION = 0.1
# So many equal steps side by side are another increment, not slices that are missing.
_RUN_OF_STEPS = 3
# Positions are often rounded to 0.1 mm, so a step may be wrong by that much however small the spacing is.
_STEP_TOLERANCE_MM = 0.1
_STEP_TOLERANCE_FRACTION = 0.03
# In an oblique stack two rounded coordinates add up.
_SHIFT_TOLERANCE_MM = 0.2
# Shift across the normal over one slice step: 0.3 degrees of tilt.
_TILT_TOLERANCE = 0.005
# Gantries tilt by 30 degrees; what leans by more than 45 has wrong positions.
_STEEPEST_TILT = 1.0


def stack_of(
    positions: np.ndarray, directions: tuple[np.ndarray, np.ndarray], *, handling: StackHandling
) -> tuple[float, SliceOffsets | None]:
    """The step of a stack, and how far its slices lie from a regular grid; None: not at all.

    Parameters
    ----------
    positions
        ``(D, 3)`` LPS mm of each slice's first pixel, in order along the normal; at least two.
    directions
        Unit vectors along a row and along a column; the normal is their cross product.

    Returns
    -------
    tuple of float and SliceOffsets
        Mean distance between neighbouring slices in mm; the offsets are from the grid of that step which begins at
        the first slice and stands straight on it.

    Raises
    ------
    GeometryError
        ``duplicate_positions``, ``gantry_tilt``, ``shifted_slices``, ``irregular_spacing`` or ``missing_slices``.
    """
    row_direction, column_direction = directions
    normal = np.cross(row_direction, column_direction)
    along = positions @ normal
    steps = np.diff(along)
    _refuse_duplicates(along, steps)
    lean = _lean(positions, along, normal, handling=handling)
    _refuse_shifted(positions, along, normal, lean)
    even = _is_even(along, steps, handling=handling)
    step_mm = float((along[-1] - along[0]) / (along.size - 1))
    if even and not lean.any():
        return step_mm, None
    moved = positions - positions[0] - np.arange(along.size)[:, None] * step_mm * normal
    if even:  # what rounding adds to the places stays out
        moved = np.arange(along.size)[:, None] * step_mm * lean
    mm = moved @ np.stack([normal, column_direction, row_direction], axis=1)
    return step_mm, SliceOffsets(mm=mm)


def _refuse_duplicates(along: np.ndarray, steps: np.ndarray) -> None:
    near_mm = max(_DUPLICATE_MM, _DUPLICATE_FRACTION * float(np.percentile(steps, 90)))
    duplicates = np.flatnonzero(steps < near_mm)
    if duplicates.size:
        apart_mm = float(steps[duplicates].max())
        where = "lie where another one lies" if apart_mm < _DUPLICATE_MM else f"lie within {apart_mm:.2f} mm of another"
        raise GeometryError(
            "duplicate_positions",
            f"{duplicates.size} of {along.size} images {where}; the first such place is "
            f"{along[duplicates[0]]:.2f} mm along the slice normal.",
            "Send each position once: one phase, one time point and one reconstruction per series.",
        )


def _lean(positions: np.ndarray, along: np.ndarray, normal: np.ndarray, *, handling: StackHandling) -> np.ndarray:
    """``(3,)``: shift across the normal for each mm along it; zero where the stack stands straight."""
    length = float(along[-1] - along[0])
    drift = positions[-1] - positions[0] - length * normal
    lean: np.ndarray = drift / length
    steepness = float(np.linalg.norm(lean))
    if steepness <= _TILT_TOLERANCE or float(np.linalg.norm(drift)) <= _SHIFT_TOLERANCE_MM:
        return np.zeros(3)
    degrees = np.degrees(np.arctan(steepness))
    if steepness > _STEEPEST_TILT:
        raise GeometryError(
            "gantry_tilt",
            f"The slices lean by {degrees:.1f} degrees against the direction of the stack, more than any gantry tilts.",
            "Export the series again: its positions contradict its orientation.",
        )
    if handling.tilt == "refuse":
        raise GeometryError(
            "gantry_tilt",
            f"The slices are tilted by {degrees:.1f} degrees against the direction of the stack (gantry tilt).",
            "Send a series without gantry tilt, or one reformatted to straight slices; or set the route's tilt to "
            "resample.",
        )
    return lean


def _refuse_shifted(positions: np.ndarray, along: np.ndarray, normal: np.ndarray, lean: np.ndarray) -> None:
    steps = np.diff(along)
    shift = np.linalg.norm(np.diff(positions, axis=0) - steps[:, None] * (normal + lean), axis=1)
    allowed = np.maximum(_SHIFT_TOLERANCE_MM, _TILT_TOLERANCE * steps)
    if np.any(shift > allowed):
        worst = int(np.argmax(shift))
        raise GeometryError(
            "shifted_slices",
            f"The slice at {along[worst + 1]:.2f} mm along the slice normal is shifted sideways by "
            f"{shift[worst]:.2f} mm against the one before it.",
            "Send images of one reconstruction centre per series.",
        )


def _is_even(along: np.ndarray, steps: np.ndarray, *, handling: StackHandling) -> bool:
    """Whether the slices are evenly spaced, as far as rounding lets them be."""
    usual = float(np.median(steps))
    tolerance = max(_STEP_TOLERANCE_MM, _STEP_TOLERANCE_FRACTION * usual)
    odd = np.flatnonzero(np.abs(steps - usual) > tolerance + 1e-6)
    if odd.size == 0:
        drift = np.abs(along - np.linspace(along[0], along[-1], along.size))
        if drift.max() <= 2 * tolerance:
            return True
        odd = np.array([min(int(np.argmax(drift)), steps.size - 1)])
    if handling.irregular == "refuse":
        _refuse_two_spacings(along, steps, tolerance)
        _refuse_uneven(along, steps, odd)
    _refuse_hole(along, steps)
    return False


def _refuse_hole(along: np.ndarray, steps: np.ndarray) -> None:
    worst = int(np.argmax(steps))
    if steps[worst] > WIDEST_STEP_MM + _STEP_TOLERANCE_MM:
        raise GeometryError(
            "missing_slices",
            f"There is nothing between {along[worst]:.2f} and {along[worst + 1]:.2f} mm along the slice normal (slices "
            f"{worst + 1} and {worst + 2} of {along.size}): {steps[worst]:.2f} mm, and the model can be shown no more "
            f"than {WIDEST_STEP_MM:.0f} mm that were not scanned.",
            "Send the slices that are missing, then the series again; or each part as a series of its own.",
        )


def _refuse_uneven(along: np.ndarray, steps: np.ndarray, odd: np.ndarray) -> None:
    usual = float(np.median(steps))
    tolerance = max(_STEP_TOLERANCE_MM, _STEP_TOLERANCE_FRACTION * usual)
    worst = int(odd[np.argmax(np.abs(steps[odd] - usual))])
    ratio = steps[odd] / usual
    holes = bool(np.all(np.abs(ratio - np.round(ratio)) * usual <= tolerance * np.round(ratio)) and ratio.min() > 1.5)
    raise GeometryError(
        "irregular_spacing",
        f"The slices are not evenly spaced: mostly {usual:.2f} mm apart, but {steps[worst]:.2f} mm between "
        f"{along[worst]:.2f} and {along[worst + 1]:.2f} mm along the slice normal (slices {worst + 1} and {worst + 2} "
        f"of {along.size}; {odd.size} such {'place' if odd.size == 1 else 'places'}).",
        f"{int(np.sum(np.round(ratio) - 1))} slices seem to be missing: send them, then the series again."
        if holes
        else "Send a series with one reconstruction increment, or set the route's irregular to resample.",
    )


def _refuse_two_spacings(along: np.ndarray, steps: np.ndarray, tolerance: float) -> None:
    """Name a change of increment where there is one: nothing is missing then."""
    ends = [*np.flatnonzero(np.abs(np.diff(steps)) > tolerance), steps.size - 1]
    starts = [0, *(end + 1 for end in ends[:-1])]
    runs = [(start, end) for start, end in zip(starts, ends, strict=True) if end - start + 1 >= _RUN_OF_STEPS]
    for (first, _), (second, _) in pairwise(runs):
        before, after = float(np.median(steps[first : first + _RUN_OF_STEPS])), float(steps[second])
        if abs(before - after) > tolerance:
            raise GeometryError(
                "irregular_spacing",
                f"The slices have two spacings: {before:.2f} mm up to {along[second]:.2f} mm along the slice normal, "
                f"{after:.2f} mm from there on.",
                "Send a series with one reconstruction increment, or each part as a series of its own; or set the "
                "route's irregular to resample.",
            )
