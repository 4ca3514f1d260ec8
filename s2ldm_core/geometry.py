"""Where the slices of a series lie, from their headers alone (PS3.3 C.7.6.2, Image Plane Module).

The functions take anything that offers DICOM keywords as attributes (a pydicom ``Dataset`` read with
``stop_before_pixels``); no pixel is touched and no DICOM library is imported.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2ldm_core.errors import GeometryError
from s2ldm_core.handling import REGULAR_ONLY, StackHandling
from s2ldm_core.offsets import SliceOffsets
from s2ldm_core.stack import stack_of

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

#: Enhanced CT and Legacy Converted Enhanced CT keep each frame's geometry in functional groups (PS3.3 A.38, A.70).
MULTI_FRAME_CT = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
# Cosines are written with as few as four digits; 1e-3 rad moves a voxel at the edge of a 500 mm field by 0.25 mm.
_COSINE_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class SeriesGeometry:
    """A stack of parallel slices.

    Attributes
    ----------
    order
        Indices into the headers given, along the slice normal (row direction × column direction), lowest first.
    positions_mm
        Image Position (Patient) of each slice in that order, LPS mm.
    affine
        ``(4, 4)`` float64, ``(column, row, slice, 1)`` to LPS mm (PS3.3 C.7.6.2.1.1).
    offsets
        How far the slices lie from that grid where the stack is tilted or uneven; None where they lie on it.
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
    offsets: SliceOffsets | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(D, H, W)`` of the volume these slices make."""
        return len(self.order), self.rows, self.columns

    @property
    def axial(self) -> bool:
        """Whether the slices lie rather across the patient than along."""
        normal = np.abs(self.affine[:3, 2])
        return bool(normal.argmax() == 2)


def series_geometry(headers: Sequence[Any], *, handling: StackHandling = REGULAR_ONLY) -> SeriesGeometry:
    """Check that headers of one series form a stack, and say where it lies.

    Order comes from Image Position (Patient) along the slice normal, never from Instance Number. A stack that is tilted
    or uneven is refused unless ``handling`` says otherwise.

    Raises
    ------
    GeometryError
        ``no_slices``, ``multi_frame``, ``geometry_missing``, ``geometry_invalid``, ``mixed_frame_of_reference``,
        ``mixed_orientation``, ``mixed_matrix``, ``mixed_pixel_spacing``, ``single_slice``,
        ``duplicate_positions``, ``gantry_tilt``, ``shifted_slices``, ``irregular_spacing`` or
        ``missing_slices``.
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
    step_mm, offsets = stack_of(positions[order], (row_direction, column_direction), handling=handling)

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
        offsets=offsets,
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
        _frames(header) not in ("0", "1")
        or (
            str(getattr(header, "SOPClassUID", "")) in MULTI_FRAME_CT
            and not getattr(header, "ReferencedFrameNumber", None)  # one of its frames, as a header of its own
        )
        for header in headers
    )
    if count:
        raise GeometryError(
            "multi_frame",
            f"{count} of {len(headers)} objects are multi-frame images that do not say where each of their frames lies.",
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


def _census(values: list[str]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in Counter(values).most_common(3))
