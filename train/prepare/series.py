"""The CT series below a folder, from headers and file names alone; no pixel is read."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.multival import MultiValue

from s2ldm_core.errors import S2LDMError
from s2ldm_core.geometry import GEOMETRY_KEYWORDS, series_geometry
from s2ldm_core.io.header import PARSE_ERRORS
from s2ldm_core.io.image import IMAGE_SUFFIXES
from s2ldm_core.io.series import SeriesFiles, group_by_series

#: What phase detection and pairing look at, beside geometry.
FACT_KEYWORDS: Final[tuple[str, ...]] = (
    "SeriesDescription",
    "ProtocolName",
    "StudyDescription",
    "ContrastBolusAgent",
    "ContrastBolusRoute",
    "ContrastBolusVolume",
    "ContrastBolusStartTime",
    "AcquisitionTime",
    "SeriesTime",
    "ImageType",
    "ConvolutionKernel",
    "BodyPartExamined",
)
_IDENTITY: Final = ("Modality", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
#: Label maps that may lie beside the images (see `train.prepare.labels`).
LABELS: Final = "labels.nii.gz"
_SLICE_ARRAYS: Final = ".npy"
_MIN_SLICES: Final = 8


@dataclass(frozen=True, kw_only=True)
class Series:
    """One CT series: the files of one Series Instance UID, one NIfTI or MetaImage file, or slices as NumPy arrays.

    Attributes
    ----------
    place
        Where it lies, relative to the root: its folder, or its file for single-file images. Names it in reports.
    files
        Slices in no order, or one file.
    uid
        Series Instance UID; empty for images that are not DICOM.
    study, patient
        Study Instance UID and Patient ID as in the headers; empty where there are none. Kept in memory only.
    facts
        `FACT_KEYWORDS` of the first slice, stripped texts; several values are joined by a backslash.
    shape, spacing_mm, corners_mm
        ``(D, H, W)``, ``(dz, dy, dx)`` and the ``(lowest, highest)`` LPS corner; ``None`` when ``fault`` says why.
    fault
        Why the series is no volume, in words; empty when it is.
    """

    place: str
    files: tuple[Path, ...]
    uid: str = ""
    study: str = ""
    patient: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    frame_of_reference_uid: str | None = None
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    corners_mm: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None
    axial: bool = True
    fault: str = ""

    @property
    def key(self) -> str:
        """Pseudonym of the series: 16 hexadecimal digits of SHA-256 over its UID, or its place where it has none."""
        return hashlib.sha256((self.uid or self.place).encode()).hexdigest()[:16]

    @property
    def is_dicom(self) -> bool:
        return bool(self.uid) or not self.files[0].name.lower().endswith((*IMAGE_SUFFIXES, _SLICE_ARRAYS))

    @property
    def is_arrays(self) -> bool:
        return self.files[0].suffix == _SLICE_ARRAYS

    @property
    def parts(self) -> tuple[str, ...]:
        """Folder names from the root down, then the file's name without suffix for a single-file image."""
        names = Path(self.place).parts
        if self.is_dicom or self.is_arrays:
            return names
        return (*names[:-1], stem(names[-1]))


def stem(name: str) -> str:
    """A file's name without the endings of images (``.nii.gz`` is one)."""
    for suffix in (*IMAGE_SUFFIXES, _SLICE_ARRAYS):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem


@dataclass(frozen=True, slots=True)
class _Plane:
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


def files_below(root: Path) -> list[Path]:
    """Every file below ``root`` in a fixed order; links that lead out of it and hidden files are left out."""
    inside = root.resolve()
    found: list[Path] = []
    for parent, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".") or not path.is_file() or not path.resolve().is_relative_to(inside):
                continue
            found.append(path)
    return found


def find_series(root: Path, *, on_file: Callable[[], object] | None = None) -> list[Series]:
    """Every series below ``root``, in the order of its places.

    Series whose slices form no regular stack are returned with their ``fault``; files that are no image are passed over.
    """
    images: list[Series] = []
    arrays: dict[Path, list[Path]] = {}

    def dicom() -> Iterator[Path]:
        for path in files_below(root):
            if on_file is not None:
                on_file()
            name = path.name.lower()
            if name == LABELS or name.endswith((".json", ".csv", ".txt", ".md", ".png")):
                continue
            if name.endswith(IMAGE_SUFFIXES):
                images.append(_image(root, path))
            elif name.endswith(_SLICE_ARRAYS):
                arrays.setdefault(path.parent, []).append(path)
            else:
                yield path

    found = group_by_series(
        dicom(),
        keep=_plane,
        unusable=lambda _path, _error: None,
        without_uid=lambda path: f"no UID in {path.parent}",
        keywords=(*_IDENTITY, *FACT_KEYWORDS, *GEOMETRY_KEYWORDS),
    )
    stacks = [series for uid, one in found.items() for series in _stacks(root, uid, one)]
    loose = [_arrays(root, folder, paths) for folder, paths in arrays.items()]
    return sorted([*stacks, *images, *loose], key=lambda one: (one.place, one.uid))


def _plane(path: Path, header: Dataset) -> _Plane | None:
    """What is kept of a slice; nothing of what is no CT."""
    if text(header, "Modality") != "CT":
        return None
    instance = text(header, "SOPInstanceUID") or str(path)
    return _Plane(path, instance, *(_plain(header, keyword) for keyword in GEOMETRY_KEYWORDS))


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


def _stacks(root: Path, uid: str, found: SeriesFiles[_Plane]) -> list[Series]:
    """The series, and behind it the files that hold one of its instances once more."""
    planes: dict[str, _Plane] = {}
    copies: dict[Path, list[Path]] = {}
    for plane in found.files:
        if planes.setdefault(plane.instance, plane) is not plane:
            copies.setdefault(plane.path.parent, []).append(plane.path)
    return [_stack(root, uid, found.first, list(planes.values())), *_copies(root, found.files[0].path, copies)]


def _stack(root: Path, uid: str, first: Dataset, planes: list[_Plane]) -> Series:
    files = tuple(plane.path for plane in planes)
    folder = Path(os.path.commonpath([path.parent for path in files]))
    facts = {keyword: value for keyword in FACT_KEYWORDS if (value := text(first, keyword))}
    common: dict[str, Any] = {
        "place": folder.relative_to(root).as_posix(),
        "files": files,
        "uid": uid,
        "study": text(first, "StudyInstanceUID"),
        "patient": text(first, "PatientID"),
        "facts": facts,
    }
    kinds = set(facts.get("ImageType", "").upper().split("\\"))
    if "LOCALIZER" in kinds or len(files) < _MIN_SLICES:
        return Series(**common, fault=f"{len(files)} images, which is a localizer or too few for a volume")
    try:
        geometry = series_geometry(planes)
    except S2LDMError as error:
        return Series(**common, fault=error.sentence)
    lowest, highest = _corners(geometry.affine, geometry.shape)
    return Series(
        **common,
        frame_of_reference_uid=geometry.frame_of_reference_uid,
        shape=geometry.shape,
        spacing_mm=geometry.spacing_mm,
        corners_mm=(lowest, highest),
        axial=bool(abs(geometry.affine[2, 2]) > 0.9 * geometry.spacing_mm[0]),
    )


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


def _image(root: Path, path: Path) -> Series:
    place = path.relative_to(root).as_posix()
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:  # SimpleITK raises nothing else
        return Series(place=place, files=(path,), fault="the file cannot be read as an image")
    size, spacing = reader.GetSize(), reader.GetSpacing()
    if len(size) != 3 or min(size) < 2 or size[2] < _MIN_SLICES:
        return Series(place=place, files=(path,), fault=f"its size {' x '.join(map(str, size))} is no volume")
    affine = np.eye(4)
    affine[:3, :3] = np.array(reader.GetDirection()).reshape(3, 3) * np.array(spacing)
    affine[:3, 3] = reader.GetOrigin()
    shape = (int(size[2]), int(size[1]), int(size[0]))
    return Series(
        place=place,
        files=(path,),
        shape=shape,
        spacing_mm=(float(spacing[2]), float(spacing[1]), float(spacing[0])),
        corners_mm=_corners(affine, shape),
    )


def _arrays(root: Path, folder: Path, paths: list[Path]) -> Series:
    """Slices, or one volume, as ``.npy``: HU + 1024 without geometry (see `train.prepare.scan`)."""
    place = (folder if len(paths) > 1 else paths[0]).relative_to(root).as_posix()
    return Series(place=place, files=tuple(paths))


def _corners(
    affine: np.ndarray, shape: tuple[int, int, int]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    points = np.array(
        [
            affine @ np.array([i, j, k, 1.0])
            for i in (0, shape[2] - 1)
            for j in (0, shape[1] - 1)
            for k in (0, shape[0] - 1)
        ]
    )[:, :3]
    low, high = points.min(axis=0), points.max(axis=0)
    return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))
