"""DICOM slices of one Series Instance UID as one stack, or as several where scans of one region share the UID."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset
from pydicom.multival import MultiValue

from s2ldm_core.errors import S2LDMError
from s2ldm_core.geometry import GEOMETRY_KEYWORDS, positions_along_normal, series_geometry
from s2ldm_core.io.dicom import is_ct
from s2ldm_core.io.header import PARSE_ERRORS
from s2ldm_core.io.series import SeriesFiles
from train.prepare.series import FACT_KEYWORDS, MIN_SLICES, Series, corners_of

_PART_KEYWORDS: Final = ("AcquisitionNumber", "AcquisitionTime")
#: Everything that is read of a header.
KEYWORDS: Final[tuple[str, ...]] = (
    "Modality",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    *FACT_KEYWORDS,
    *_PART_KEYWORDS,
    *GEOMETRY_KEYWORDS,
)
# Acquisitions that share less are neighbouring parts of one scan, such as chest and abdomen.
_SAME_REGION: Final = 0.5


@dataclass(frozen=True, slots=True)
class Plane:
    """What one DICOM slice contributes; small, because a tree may hold a hundred thousand of them."""

    path: Path
    instance: str
    """SOP Instance UID, or the path where there is none."""
    SOPClassUID: str
    FrameOfReferenceUID: str
    ImageOrientationPatient: Any
    ImagePositionPatient: Any
    PixelSpacing: Any
    Rows: Any
    Columns: Any
    NumberOfFrames: Any
    AcquisitionNumber: Any
    AcquisitionTime: Any


def plane_of(path: Path, header: Dataset) -> Plane | None:
    """What is kept of a slice; nothing of what is no CT."""
    if not is_ct(header):
        return None
    instance = text(header, "SOPInstanceUID") or str(path)
    return Plane(path, instance, *(_plain(header, keyword) for keyword in (*GEOMETRY_KEYWORDS, *_PART_KEYWORDS)))


def _plain(header: Dataset, keyword: str) -> Any:
    try:
        value = header.get(keyword)
    except PARSE_ERRORS:
        return None
    if isinstance(value, MultiValue):
        return tuple(value)
    return value if isinstance(value, (int, float)) or value is None else str(value)


def text(header: Dataset, keyword: str) -> str:
    """An attribute as stripped text, several values joined by a backslash; empty when absent or not parsable."""
    try:
        value = header.get(keyword)
    except PARSE_ERRORS:
        return ""
    if value is None:
        return ""
    return "\\".join(str(one).strip() for one in value) if isinstance(value, MultiValue) else str(value).strip()


def stacks_of(root: Path, uid: str, found: SeriesFiles[Plane]) -> list[Series]:
    """The series of one UID, a stack for each of its scans, and behind them the files that hold an instance once more."""
    planes: dict[str, Plane] = {}
    copies: dict[Path, list[Path]] = {}
    for plane in found.files:
        if planes.setdefault(plane.instance, plane) is not plane:
            copies.setdefault(plane.path.parent, []).append(plane.path)
    scans = [
        _stack(root, uid, found.first, part, acquisition=number) for number, part in _acquisitions([*planes.values()])
    ]
    return [*scans, *_copies(root, found.files[0].path, copies)]


def _acquisitions(planes: Sequence[Plane]) -> list[tuple[str, list[Plane]]]:
    """Slices by Acquisition Number (0020,0012) where it tells scans of one region apart; else all of them, without a number.

    Two phases may share a Series Instance UID. Numbers alone prove nothing: some scanners count every rotation, and the chest and
    the abdomen of one scan may have two.
    """
    whole = [("", list(planes))]
    parts: dict[str, list[Plane]] = {}
    for plane in planes:
        parts.setdefault(str(plane.AcquisitionNumber or ""), []).append(plane)
    scans = [part for part in parts.values() if len(part) >= MIN_SLICES]
    if len(scans) < 2:
        return whole
    try:
        ends = [(float(along.min()), float(along.max())) for along in map(positions_along_normal, scans)]
    except S2LDMError:
        return whole
    for index, (low, high) in enumerate(ends):
        for other_low, other_high in ends[:index]:
            shared = min(high, other_high) - max(low, other_low)
            if shared >= _SAME_REGION * min(high - low, other_high - other_low):
                return [(number or "none", part) for number, part in sorted(parts.items())]
    return whole


def _stack(root: Path, uid: str, first: Dataset, planes: list[Plane], *, acquisition: str) -> Series:
    files = tuple(plane.path for plane in planes)
    folder = Path(os.path.commonpath([path.parent for path in files]))
    facts = {keyword: value for keyword in FACT_KEYWORDS if (value := text(first, keyword))}
    if acquisition and planes[0].AcquisitionTime:
        facts["AcquisitionTime"] = str(planes[0].AcquisitionTime)
    common: dict[str, Any] = {
        "place": folder.relative_to(root).as_posix(),
        "files": files,
        "uid": uid,
        "study": text(first, "StudyInstanceUID"),
        "patient": text(first, "PatientID"),
        "identity": _identity(first),
        "acquisition": acquisition,
        "facts": facts,
    }
    kinds = set(facts.get("ImageType", "").upper().split("\\"))
    if "LOCALIZER" in kinds or len(files) < MIN_SLICES:
        return Series(**common, fault=f"{len(files)} images, which is a localizer or too few for a volume")
    try:
        geometry = series_geometry(planes)
    except S2LDMError as error:
        return Series(**common, fault=error.sentence)
    lowest, highest = corners_of(geometry.affine, geometry.shape)
    return Series(
        **common,
        frame_of_reference_uid=geometry.frame_of_reference_uid,
        shape=geometry.shape,
        spacing_mm=geometry.spacing_mm,
        corners_mm=(lowest, highest),
        axial=bool(abs(geometry.affine[2, 2]) > 0.9 * geometry.spacing_mm[0]),
    )


def _identity(header: Dataset) -> str:
    """Name and birth date as 16 hexadecimal digits; empty where one is missing."""
    name, born = text(header, "PatientName"), text(header, "PatientBirthDate")
    return hashlib.sha256(f"{name.upper()}\0{born}".encode()).hexdigest()[:16] if name and born else ""


def _copies(root: Path, first: Path, copies: Mapping[Path, list[Path]]) -> list[Series]:
    """Files that hold an instance of the series once more, by folder: never read, but told."""
    origin = first.parent.relative_to(root).as_posix()
    return [
        Series(
            place=folder.relative_to(root).as_posix(),
            files=tuple(files),
            fault=f"{len(files)} images are copies of those in {origin}",
        )
        for folder, files in copies.items()
    ]
