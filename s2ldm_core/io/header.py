"""The header of one DICOM file, pixels left unread."""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue

from s2ldm_core.errors import VolumeError
from s2ldm_core.geometry import GEOMETRY_KEYWORDS
from s2ldm_core.io.bounded import read_within
from s2ldm_core.io.hounsfield import HU_KEYWORDS
from s2ldm_core.io.limits import check_inflated_size

#: What `read_header` reads unless told otherwise: identity, geometry and rescale.
HEADER_KEYWORDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            "Modality",
            "SeriesInstanceUID",
            "SOPInstanceUID",
            "InstanceNumber",
            *GEOMETRY_KEYWORDS,
            *HU_KEYWORDS,
            "SharedFunctionalGroupsSequence",
            "PerFrameFunctionalGroupsSequence",
        )
    )
)

#: What pydicom raises on damaged data.
PARSE_ERRORS = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
)


def read_header(path: Path, *, keywords: Iterable[str] = HEADER_KEYWORDS) -> Dataset | None:
    """The named attributes of a DICOM file, with or without preamble (old archives lack the one of PS3.10 7.1).

    Returns
    -------
    Dataset or None
        ``None`` when the file is not DICOM.

    Raises
    ------
    VolumeError
        ``file_unreadable`` when the file cannot be opened or is damaged DICOM, ``image_too_large`` when it inflates to
        more than any slice.
    """
    tags: list[Any] = list(keywords)
    try:
        bare = lacks_preamble(path)
        if bare is None:
            return None
        check_inflated_size(path)
        dataset = read_within(path, force=bare, stop_before_pixels=True, specific_tags=tags)
        _parse(dataset)
        _parse(getattr(dataset, "file_meta", None) or Dataset())
        return dataset
    except (OSError, *PARSE_ERRORS) as error:
        raise VolumeError(
            "file_unreadable",
            f"Reading {image_name(path)} as DICOM failed ({type(error).__name__}).",
            "Check the file's permissions, or export it again.",
        ) from error


def _parse(dataset: Dataset) -> None:
    """Parse every element now, because pydicom would do so at first use, far from where damage can be answered for."""
    for tag in list(dataset.keys()):
        try:
            dataset[tag]
        except (ValueError, OverflowError):  # a DS or IS text that is no number: whoever needs the number says so
            continue


def image_name(path: Path) -> str:
    """What a sentence calls the image in a file: by its identifiers, as the file may be the spool's; else by the file."""
    try:
        header = read_within(
            path,
            force=bool(lacks_preamble(path)),
            stop_before_pixels=True,
            specific_tags=["SOPInstanceUID", "InstanceNumber"],
        )
        uid = sop_instance_uid(header)
        number = text(header, "InstanceNumber")
    except (OSError, *PARSE_ERRORS):
        uid = number = ""
    if not uid:
        return f"the file {path.name}"
    return f"the image with {f'Instance Number {number}, ' if number else ''}SOP Instance UID {uid}"


def lacks_preamble(path: Path) -> bool | None:
    """Whether a DICOM file starts without preamble; ``None`` when it is not DICOM at all."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return False
    if len(start) < 8:
        return None
    # A data set begins with one of the first elements of group 0002 or 0008, in either byte order.
    for order in ("<HH", ">HH"):
        group, element = struct.unpack(order, start[:4])
        if (group == 0x0002 and element <= 0x0002) or (group == 0x0008 and element <= 0x0020):
            return True
    return None


def sop_class_uid(header: Dataset) -> str:
    """SOP Class UID; from the file meta information (PS3.10 7.1) where de-identification emptied the data set's."""
    return _uid(header, "SOPClassUID", "MediaStorageSOPClassUID")


def sop_instance_uid(header: Dataset) -> str:
    """SOP Instance UID, likewise."""
    return _uid(header, "SOPInstanceUID", "MediaStorageSOPInstanceUID")


def _uid(header: Dataset, keyword: str, in_meta: str) -> str:
    meta = getattr(header, "file_meta", None)
    return (text(header, keyword) or str(getattr(meta, in_meta, None) or "")).strip(" \0")


def text(header: Dataset, keyword: str) -> str:
    """One value as stripped text; empty if absent, empty or not parsable."""
    return " ".join(texts(header, keyword))


def texts(header: Dataset, keyword: str) -> tuple[str, ...]:
    """All values as stripped texts."""
    try:
        value = header.get(keyword)
    except PARSE_ERRORS:
        return ()
    if value is None:
        return ()
    values = value if isinstance(value, MultiValue | list | tuple) else [value]
    return tuple(str(one).strip() for one in values if str(one).strip())
