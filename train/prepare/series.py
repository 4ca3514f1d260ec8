"""A CT series of a tree: where it lies, what its headers say, and why it is no volume if it is none."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from s2ldm_core.io.image import IMAGE_SUFFIXES

#: What phase detection and pairing look at, beside geometry.
FACT_KEYWORDS: Final[tuple[str, ...]] = (
    "SeriesDescription",
    "ProtocolName",
    "StudyDescription",
    "ContrastBolusAgent",
    "ContrastBolusRoute",
    "ContrastBolusVolume",
    "ContrastBolusStartTime",
    "StudyDate",
    "AcquisitionDate",
    "AcquisitionTime",
    "SeriesTime",
    "ImageType",
    "ConvolutionKernel",
    "BodyPartExamined",
)
#: NumPy arrays of slices.
SLICE_ARRAYS: Final = ".npy"
#: Fewer images are a localizer or a fragment.
MIN_SLICES: Final = 8
#: The code of a series that forms no volume.
NOT_A_VOLUME: Final = "not_a_volume"


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
    identity
        Pseudonym of Patient's Name and Birth Date where the headers have both; kept in memory only.
    acquisition
        Acquisition Number, where one Series Instance UID holds several scans of one region.
    fault, code
        Why the series is no volume, in words and as a code; no words when it is.
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
    identity: str = ""
    acquisition: str = ""
    fault: str = ""
    code: str = NOT_A_VOLUME

    @property
    def key(self) -> str:
        """Pseudonym of the series: 16 hexadecimal digits of SHA-256 over its UID, or its place where it has none."""
        part = f"\0{self.acquisition}" if self.acquisition else ""
        return hashlib.sha256(((self.uid or self.place) + part).encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """What reports call it: its place, and the acquisition where that is one of several."""
        return f"{self.place} (acquisition {self.acquisition})" if self.acquisition else self.place

    @property
    def is_dicom(self) -> bool:
        return bool(self.uid) or not self.files[0].name.lower().endswith((*IMAGE_SUFFIXES, SLICE_ARRAYS))

    @property
    def is_arrays(self) -> bool:
        return self.files[0].suffix == SLICE_ARRAYS

    @property
    def parts(self) -> tuple[str, ...]:
        """Folder names from the root down, then the file's name without suffix for a single-file image."""
        names = Path(self.place).parts
        if self.is_dicom or self.is_arrays:
            return names
        return (*names[:-1], stem(names[-1]))


def stem(name: str) -> str:
    """A file's name without the endings of images (``.nii.gz`` is one)."""
    for suffix in (*IMAGE_SUFFIXES, SLICE_ARRAYS):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem


def corners_of(
    affine: np.ndarray, shape: tuple[int, int, int]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The lowest and highest LPS mm of the voxels' centres of a grid of ``(D, H, W)``."""
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
