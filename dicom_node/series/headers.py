"""Headers of a series' files: only the attributes that selection looks at, and never the pixels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from dicom_node.catalog import Subject
from dicom_node.source_header import SOURCE_KEYWORDS
from s2ldm_core.errors import VolumeError
from s2ldm_core.io.header import HEADER_KEYWORDS, PARSE_ERRORS, lacks_preamble, read_header, text

SELECTION_KEYWORDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *HEADER_KEYWORDS,
            "ImageType",
            "VolumetricProperties",
            "SyntheticData",
            "ContributingEquipmentSequence",
            "ContrastBolusAgent",
            "ContrastBolusAgentSequence",
            "ContrastBolusRoute",
            "ContrastBolusVolume",
            "ContrastBolusTotalDose",
            "PatientID",
            "PatientName",
            "AccessionNumber",
            "StudyDate",
            *SOURCE_KEYWORDS,
            "KVP",
            "ConvolutionKernel",
            "Manufacturer",
            "SliceThickness",
            "AcquisitionNumber",
            "SeriesDescription",
            "ProtocolName",
            "StudyDescription",
            "BodyPartExamined",
            "AnatomicRegionSequence",
        )
    )
)

#: Field of a `Subject` -> attribute, and the most characters of its VR (PS3.5 6.2).
_SUBJECT = {
    "patient_id": ("PatientID", 64),
    "patient_name": ("PatientName", 324),
    "accession_number": ("AccessionNumber", 64),
    "study_date": ("StudyDate", 16),
    "study_description": ("StudyDescription", 64),
    "series_description": ("SeriesDescription", 64),
}


@dataclass(frozen=True, kw_only=True)
class SeriesHeaders:
    """The headers of a series, and which of its files have none.

    ``headers[i]`` is that of ``paths[i]``; ``unreadable`` names files that are damaged or not DICOM.
    """

    paths: tuple[Path, ...]
    headers: tuple[Dataset, ...]
    unreadable: tuple[Path, ...] = ()


def read_headers(paths: Iterable[Path]) -> SeriesHeaders:
    """Read the headers of a series' files; damaged files are listed, not raised."""
    readable: list[Path] = []
    headers: list[Dataset] = []
    unreadable: list[Path] = []
    for path in paths:
        try:
            header = read_header(path, keywords=SELECTION_KEYWORDS)
        except VolumeError:
            header = None
        if header is None:
            unreadable.append(path)
        else:
            readable.append(path)
            headers.append(header)
    return SeriesHeaders(paths=tuple(readable), headers=tuple(headers), unreadable=tuple(unreadable))


def subject_of(headers: Sequence[Dataset]) -> Subject | None:
    """Whose a series is, by the first of its headers; None where there is none."""
    if not headers:
        return None
    return Subject(
        **{name: _shown(text(headers[0], keyword), longest) for name, (keyword, longest) in _SUBJECT.items()}
    )


def _shown(value: str, longest: int) -> str:
    """Text for people: in one line, without control characters."""
    return "".join(one if one.isprintable() else " " for one in value)[:longest].strip()


def is_dicom(path: Path) -> bool:
    """Whether a file looks like DICOM, by its first bytes."""
    try:
        return lacks_preamble(path) is not None
    except OSError:
        return False


def items(header: Dataset, keyword: str) -> Sequence[Dataset]:
    """The items of a sequence; empty if absent or not parsable."""
    try:
        value = header.get(keyword)
        return [] if value is None else list(value)
    except PARSE_ERRORS:
        return []
