"""Where the slices of a series lie, from their headers alone (PS3.3 C.7.6.2, Image Plane Module).

The functions take anything that offers DICOM keywords as attributes (a pydicom ``Dataset`` read with
``stop_before_pixels``); no pixel is touched and no DICOM library is imported.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from s2ldm_core.errors import GeometryError

#: Keywords that `series_geometry` looks at; enough for ``specific_tags`` of a header read.
GEOMETRY_KEYWORDS: tuple[str, ...] = (
    "SOPClassUID",
    "FrameOfReferenceUID",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
)

# Enhanced CT and Legacy Converted Enhanced CT keep each frame's geometry in functional groups (PS3.3 A.38, A.70).
_ENHANCED_CT = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
# Cosines are written with as few as four digits; 1e-3 rad moves a voxel at the edge of a 500 mm field by 0.25 mm.
_COSINE_TOLERANCE = 1e-3
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


@dataclass(frozen=True, kw_only=True)
class SeriesGeometry:
    """A regular stack of parallel slices.

    Attributes
    ----------
    order
        Indices into the headers given, along the slice normal (row direction × column direction), lowest first.
    positions_mm
        Image Position (Patient) of each slice in that order, LPS mm.
    affine
        ``(4, 4)`` float64, ``(column, row, slice, 1)`` to LPS mm (PS3.3 C.7.6.2.1.1).
    spacing_mm
        ``(dz, dy, dx)``: between slices, between rows, between columns.
    rows, columns
        Matrix of every slice.
    frame_of_reference_uid
        Shared Frame of Reference UID; ``None`` when no header has one, or when every slice has one of its own, as
        de-identification writes them.
    """

    order: tuple[int, ...]
    positions_mm: tuple[tuple[float, float, float], ...]
    affine: np.ndarray
    spacing_mm: tuple[float, float, float]
    rows: int
    columns: int
    frame_of_reference_uid: str | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(D, H, W)`` of the volume these slices make."""
        return len(self.order), self.rows, self.columns


def series_geometry(headers: Sequence[Any]) -> SeriesGeometry:
    """Check that headers of one series form a regular, untilted stack, and say where it lies.

    Order comes from Image Position (Patient) along the slice normal, never from Instance Number.

    Raises
    ------
    GeometryError
        ``no_slices``, ``multi_frame``, ``geometry_missing``, ``geometry_invalid``, ``mixed_frame_of_reference``,
        ``mixed_orientation``, ``mixed_matrix``, ``mixed_pixel_spacing``, ``single_slice``,
        ``duplicate_positions``, ``gantry_tilt``, ``shifted_slices`` or ``irregular_spacing``.
    """
    if not headers:
        raise GeometryError("no_slices", "The series holds no images.")
    _refuse_multi_frame(headers)
    positions = _numbers(headers, "ImagePositionPatient", 3)
    orientations = _numbers(headers, "ImageOrientationPatient", 6)
    pixel_spacings = _numbers(headers, "PixelSpacing", 2)
    matrix = np.hstack([_numbers(headers, "Rows", 1), _numbers(headers, "Columns", 1)])
    frame_of_reference_uid = _frame_of_reference(headers)

    row_direction, column_direction = _directions(orientations)
    if np.any(matrix != matrix[0]):
        raise GeometryError(
            "mixed_matrix",
            f"The images have different sizes: {_census([f'{int(r)} x {int(c)}' for r, c in matrix])}.",
            "Send images of one matrix size per series.",
        )
    if np.any(pixel_spacings <= 0) or np.any(matrix[0] < 1):
        raise GeometryError(
            "geometry_invalid", "Pixel Spacing or the matrix size is zero or negative.", "Export the series again."
        )
    if np.any(np.abs(pixel_spacings / pixel_spacings[0] - 1) > 1e-3):
        raise GeometryError(
            "mixed_pixel_spacing",
            f"The images have different pixel spacings: {_census([f'{r:g} x {c:g} mm' for r, c in pixel_spacings])}.",
            "Send images of one reconstruction per series.",
        )
    if len(headers) == 1:
        raise GeometryError(
            "single_slice", "The series holds a single image; a volume needs at least two.", "Send the whole series."
        )

    normal = np.cross(row_direction, column_direction)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    step_mm = _regular_step(along[order], positions[order], normal)

    row_spacing, column_spacing = (float(value) for value in pixel_spacings[0])
    affine = np.eye(4)
    affine[:3, 0] = row_direction * column_spacing  # moving one column goes along the row
    affine[:3, 1] = column_direction * row_spacing
    affine[:3, 2] = normal * step_mm
    affine[:3, 3] = positions[order[0]]
    return SeriesGeometry(
        order=tuple(int(index) for index in order),
        positions_mm=tuple((float(x), float(y), float(z)) for x, y, z in positions[order]),
        affine=affine,
        spacing_mm=(step_mm, row_spacing, column_spacing),
        rows=int(matrix[0, 0]),
        columns=int(matrix[0, 1]),
        frame_of_reference_uid=frame_of_reference_uid,
    )


def positions_along_normal(headers: Sequence[Any]) -> np.ndarray:
    """``(len(headers),)`` mm: where each slice lies along the normal, however irregular the stack.

    Raises
    ------
    GeometryError
        ``geometry_missing``, ``geometry_invalid`` or ``mixed_orientation``.
    """
    positions = _numbers(headers, "ImagePositionPatient", 3)
    along: np.ndarray = positions @ np.cross(*_directions(_numbers(headers, "ImageOrientationPatient", 6)))
    return along


def _refuse_multi_frame(headers: Sequence[Any]) -> None:
    count = sum(
        _frames(header) not in ("0", "1") or str(getattr(header, "SOPClassUID", "")) in _ENHANCED_CT
        for header in headers
    )
    if count:
        raise GeometryError(
            "multi_frame",
            f"{count} of {len(headers)} objects are multi-frame images; only single-frame images are read.",
            "Have the sender convert enhanced multi-frame CT to single-frame CT.",
        )


def _frames(header: Any) -> str:
    try:
        return str(int(getattr(header, "NumberOfFrames", None) or 1))
    except (ValueError, TypeError, OverflowError) as error:  # IS text that is no number
        raise GeometryError(
            "geometry_invalid",
            "An image's Number of Frames is no number, so it is not known what its pixels are.",
            "Export the series again.",
        ) from error


def _numbers(headers: Sequence[Any], keyword: str, count: int) -> np.ndarray:
    """``(len(headers), count)`` float64 of a numeric attribute that every image must have."""
    rows: list[list[float]] = []
    missing = invalid = 0
    for header in headers:
        try:
            value = getattr(header, keyword, None)
            values = [] if value is None or value == "" else [float(v) for v in np.atleast_1d(value)]
        except (ValueError, TypeError, OverflowError):  # DS text that is no number
            invalid += 1
            continue
        if not values:
            missing += 1
        elif len(values) != count or not np.all(np.isfinite(values)):
            invalid += 1
        else:
            rows.append(values)
    if missing or invalid:
        code, what = ("geometry_missing", "without") if missing else ("geometry_invalid", "with an unusable value of")
        raise GeometryError(
            code,
            f"{missing or invalid} of {len(headers)} images are {what} {keyword}, so their place is unknown.",
            "Screen captures and reports have no geometry: send the axial images only, or export the series again.",
        )
    return np.array(rows, dtype=np.float64)


def _frame_of_reference(headers: Sequence[Any]) -> str | None:
    stated = [str(uid) for header in headers if (uid := getattr(header, "FrameOfReferenceUID", None))]
    uids = set(stated)
    if len(uids) == len(headers) > 1:
        return None  # one for each slice: it says nothing, and the positions must
    if len(uids) > 1:
        raise GeometryError(
            "mixed_frame_of_reference",
            f"The images belong to {len(uids)} frames of reference, so their positions cannot be compared.",
            "Send images of one acquisition per series.",
        )
    return uids.pop() if uids else None


def _directions(orientations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors along a row and along a column, the same for every image."""
    spread = np.abs(orientations - np.median(orientations, axis=0)).max(axis=1)
    if (odd := int(np.sum(spread > _COSINE_TOLERANCE))) > 0:
        raise GeometryError(
            "mixed_orientation",
            f"The images do not all lie in parallel planes: {odd} of {len(orientations)} are turned.",
            "Send localizers and reformats as series of their own.",
        )
    row, column = orientations[0, :3], orientations[0, 3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > 1e-2 or abs(row @ column) > _COSINE_TOLERANCE:
        raise GeometryError(
            "geometry_invalid",
            "Image Orientation (Patient) is not a pair of perpendicular unit vectors.",
            "Export the series again.",
        )
    return row / lengths[0], column / lengths[1]


def _regular_step(along: np.ndarray, positions: np.ndarray, normal: np.ndarray) -> float:
    """Distance between neighbouring slices in mm, from sorted positions along the normal.

    Parameters
    ----------
    along, positions, normal
        ``(D,)`` mm ascending, ``(D, 3)`` LPS mm in the same order, ``(3,)`` unit vector.
    """
    steps = np.diff(along)
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
    shifts = np.diff(positions, axis=0) - steps[:, None] * normal
    shift = np.linalg.norm(shifts, axis=1)
    allowed = np.maximum(_SHIFT_TOLERANCE_MM, _TILT_TOLERANCE * steps)
    drift = positions[-1] - positions[0] - (along[-1] - along[0]) * normal
    lean = float(np.linalg.norm(drift)) / float(along[-1] - along[0])
    if lean > _TILT_TOLERANCE and float(np.linalg.norm(drift)) > _SHIFT_TOLERANCE_MM:
        raise GeometryError(
            "gantry_tilt",
            f"The slices are tilted by {np.degrees(np.arctan(lean)):.1f} degrees against the direction of the stack "
            "(gantry tilt).",
            "Send a series without gantry tilt, or one reformatted to straight slices.",
        )
    if np.any(shift > allowed):
        worst = int(np.argmax(shift))
        raise GeometryError(
            "shifted_slices",
            f"The slice at {along[worst + 1]:.2f} mm along the slice normal is shifted sideways by "
            f"{shift[worst]:.2f} mm against the one before it.",
            "Send images of one reconstruction centre per series.",
        )
    _refuse_irregular(along, steps)
    return float((along[-1] - along[0]) / (along.size - 1))


def _refuse_irregular(along: np.ndarray, steps: np.ndarray) -> None:
    usual = float(np.median(steps))
    tolerance = max(_STEP_TOLERANCE_MM, _STEP_TOLERANCE_FRACTION * usual)
    odd = np.flatnonzero(np.abs(steps - usual) > tolerance + 1e-6)
    regular = along[0] + (along[-1] - along[0]) * np.arange(along.size) / (along.size - 1)
    if odd.size == 0:
        drift = np.abs(along - regular)
        if drift.max() <= 2 * tolerance:
            return
        odd = np.array([min(int(np.argmax(drift)), steps.size - 1)])
    _refuse_two_spacings(along, steps, tolerance)
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
        else "Send a series with one reconstruction increment.",
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
                "Send a series with one reconstruction increment, or each part as a series of its own.",
            )


def _census(values: list[str]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in Counter(values).most_common(3))
