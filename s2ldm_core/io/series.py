"""The one place that sorts DICOM files into series."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pydicom import Dataset

from s2ldm_core.errors import VolumeError
from s2ldm_core.io.header import HEADER_KEYWORDS, read_header, text

Kept = TypeVar("Kept")


@dataclass
class SeriesFiles(Generic[Kept]):
    """The files of one series, in the order in which they came.

    Attributes
    ----------
    first
        Header of the first file.
    files
        What was kept of each file.
    """

    first: Dataset
    files: list[Kept] = field(default_factory=list)


def group_by_series(
    paths: Iterable[Path],
    *,
    keep: Callable[[Path, Dataset], Kept | None],
    unusable: Callable[[Path, VolumeError], None],
    without_uid: Callable[[Path], str] = lambda path: "",
    keywords: Iterable[str] = HEADER_KEYWORDS,
) -> dict[str, SeriesFiles[Kept]]:
    """Sort files by Series Instance UID (0020,000E), reading each header once and no pixels.

    Parameters
    ----------
    keep
        What is kept of a file in memory, given its header; None: the file is passed over.
    unusable
        Called for a file that is not DICOM (``not_dicom``) or damaged (``file_unreadable``); what it raises ends the
        search.
    without_uid
        Under which key a file goes that has no Series Instance UID.
    keywords
        Attributes that are read; the Series Instance UID is, in any case.

    Returns
    -------
    dict
        By Series Instance UID, in the order in which the series were met.
    """
    series: dict[str, SeriesFiles[Kept]] = {}
    wanted = ("SeriesInstanceUID", *keywords)
    for path in paths:
        try:
            header = read_header(path, keywords=wanted)
            if header is None:
                raise VolumeError("not_dicom", f"{path.name} is not a DICOM file.", "Leave it out.")
        except VolumeError as error:
            unusable(path, error)
            continue
        kept = keep(path, header)
        if kept is not None:
            uid = text(header, "SeriesInstanceUID") or without_uid(path)
            series.setdefault(uid, SeriesFiles(first=header)).files.append(kept)
    return series
