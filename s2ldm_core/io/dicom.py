"""A CT series from DICOM files into one array of HU, slice by slice."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset

from s2ldm_core.errors import VolumeError
from s2ldm_core.geometry import MULTI_FRAME_CT, SeriesGeometry, series_geometry
from s2ldm_core.handling import REGULAR_ONLY, StackHandling
from s2ldm_core.io.duplicates import same_image
from s2ldm_core.io.frames import frame_headers, frame_number
from s2ldm_core.io.header import image_name, sop_class_uid, sop_instance_uid, text
from s2ldm_core.io.hounsfield import hu_rescale
from s2ldm_core.io.pixels import read_slices
from s2ldm_core.io.series import Kept, group_by_series
from s2ldm_core.volume import SliceRecord, Volume

_Member = tuple[Path, Dataset]

_LOG = logging.getLogger(__name__)

# CT Image, Enhanced CT and Legacy Converted Enhanced CT Image Storage.
_CT_CLASSES = MULTI_FRAME_CT | {"1.2.840.10008.5.1.4.1.1.2"}
# Secondary Capture and its multi-frame forms (PS3.3 A.8): derived series are such, with the plane of a CT image.
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MAX_VOXELS = 2**30
# So many series are named in a message.
_LISTED = 5


def read_dicom(
    source: Path | Sequence[Path], *, series_uid: str | None = None, handling: StackHandling = REGULAR_ONLY
) -> Volume:
    """Read one CT series.

    Files are grouped by Series Instance UID (files without one make one group) and ordered by position along the slice
    normal. What a CT image is, its SOP class says: Modality (0008,0060), which is often empty or wrong, counts only for
    files without one, and for Secondary Captures, which are read where a series holds nothing else. An enhanced multi-frame CT is read
    frame by frame. Files that are not
    DICOM are passed over in a folder and refused in a list. The same image under the same SOP Instance UID is read once.

    Parameters
    ----------
    source
        A folder, searched with its subfolders (symbolic links that lead out of it are not followed), or files.
    series_uid
        Which series to read; needed only when there are several.
    handling
        Whether a tilted or uneven stack is refused; where it is not, ``offsets`` says where its slices lie.

    Returns
    -------
    Volume
        ``(D, H, W)`` float32 HU with slice records. Where the files declare pixel padding (PS3.3 C.7.5.1.1.2),
        ``padding`` is set and HU are at most -1024.

    Raises
    ------
    VolumeError
        ``no_ct_files``, ``not_dicom``, ``file_unreadable``, ``several_series``, ``series_not_found``, ``not_hu``,
        ``volume_too_large``, ``unsupported_compression``, ``pixels_unreadable``, ``conflicting_instances``.
    GeometryError
        When the slices do not form a stack that is read; see `s2ldm_core.geometry.series_geometry`.
    """
    folder = source if isinstance(source, Path) else None
    paths = files_below(folder) if folder else list(source) if isinstance(source, Sequence) else []
    series, others = _series_in(paths, skip_foreign=folder is not None)
    chosen = choose_series(series, series_uid, len(paths), others)
    members = [(path, frame) for path, header in chosen for frame in frame_headers(header)]
    headers = [header for _, header in members]
    geometry = series_geometry(headers, handling=handling)
    for header in headers:
        hu_rescale(header)
    return _assemble([members[index] for index in geometry.order], geometry)


def files_below(folder: Path) -> list[Path]:
    """The files of a folder and its subfolders, without symbolic links that lead out of it."""
    root = folder.resolve()
    files: list[Path] = []
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                continue
            if path.is_file():
                files.append(path)
    return files


def _series_in(paths: Sequence[Path], *, skip_foreign: bool) -> tuple[dict[str, list[_Member]], dict[str, int]]:
    """CT files by Series Instance UID, and how many files were passed over, by what they are."""
    seen: dict[tuple[str, str], Path] = {}
    others: Counter[str] = Counter()

    def keep(path: Path, header: Dataset) -> _Member | None:
        if not is_ct(header):
            others[text(header, "Modality") or "without modality"] += 1
            return None
        uid = text(header, "SeriesInstanceUID"), sop_instance_uid(header) or str(path)
        first = seen.setdefault(uid, path)
        if first is not path:
            if not same_image(first, path):
                raise VolumeError(
                    "conflicting_instances",
                    "Two different images have the same SOP Instance UID, so slices would be lost.",
                    "Have each image exported with a SOP Instance UID of its own.",
                )
            return None
        return path, header

    def unusable(_: Path, error: VolumeError) -> None:
        if error.code != "not_dicom" or not skip_foreign:
            raise error
        others["not DICOM"] += 1

    found = group_by_series(paths, keep=keep, unusable=unusable)
    if others:
        _LOG.debug("passed over %s", dict(others))
    return {uid: _slices_of(one.files) for uid, one in found.items()}, others


def is_ct(header: Dataset) -> bool:
    """Whether a header is that of a CT image: by its SOP class, by Modality where it has none or is a Secondary Capture."""
    sop_class = sop_class_uid(header)
    if not sop_class or sop_class.startswith(_SECONDARY_CAPTURE):
        return text(header, "Modality") == "CT"
    return sop_class in _CT_CLASSES


def _slices_of(members: list[_Member]) -> list[_Member]:
    """Without the Secondary Captures (dose reports, screenshots) beside CT images."""
    images = [one for one in members if not sop_class_uid(one[1]).startswith(_SECONDARY_CAPTURE)]
    return images or members


def choose_series(
    series: Mapping[str, list[Kept]], series_uid: str | None, count: int, others: Mapping[str, int]
) -> list[Kept]:
    """The one series that there is, or the one that is asked for.

    Parameters
    ----------
    series
        By Series Instance UID.
    count, others
        How many files were looked at, and how many were passed over, by what they are.

    Raises
    ------
    VolumeError
        ``no_ct_files``, ``several_series`` or ``series_not_found``.
    """
    if not series:
        what = ", ".join(f"{number} {kind}" for kind, number in others.items())
        raise VolumeError(
            "no_ct_files",
            f"There is no CT image among {count} files{f' ({what})' if what else ''}.",
            "Give a folder with the DICOM files of one CT series.",
        )
    listing = ", ".join(
        f"{uid or 'no Series Instance UID'} ({len(members)} images)"
        for uid, members in sorted(series.items())[:_LISTED]
    )
    if len(series) > _LISTED:
        listing += f" and {len(series) - _LISTED} more"
    if series_uid is not None:
        if series_uid not in series:
            raise VolumeError("series_not_found", f"Series {series_uid} is not there; these are: {listing}.")
        return series[series_uid]
    if len(series) > 1:
        raise VolumeError(
            "several_series",
            f"There are {len(series)} CT series: {listing}.",
            "Choose one by its Series Instance UID, or give the folder of one series.",
        )
    return next(iter(series.values()))


def _assemble(members: Sequence[_Member], geometry: SeriesGeometry) -> Volume:
    shape = geometry.shape
    if shape[0] * shape[1] * shape[2] > _MAX_VOXELS:
        raise VolumeError(
            "volume_too_large", f"The series has more than {_MAX_VOXELS} voxels.", "Send a part of the series."
        )
    hu = np.empty(shape, dtype=np.float32)
    padding: np.ndarray | None = None
    records: list[SliceRecord] = []
    planes = read_slices((path, frame_number(header)) for path, header in members)
    for index, ((path, header), (plane, plane_padding)) in enumerate(zip(members, planes, strict=True)):
        if plane.shape != shape[1:]:
            raise VolumeError(
                "pixels_unreadable",
                f"The pixels of {image_name(path)} have shape {plane.shape}, its header says {shape[1:]}.",
            )
        hu[index] = plane
        if plane_padding is not None:
            padding = np.zeros(shape, dtype=bool) if padding is None else padding
            padding[index] = plane_padding
        records.append(
            SliceRecord(
                sop_instance_uid=sop_instance_uid(header) or None,
                position_mm=geometry.positions_mm[index],
                path=path,
                instance_number=_integer(header),
                frame=frame_number(header),
            )
        )
    return Volume(
        hu=hu,
        affine=geometry.affine,
        slices=tuple(records),
        frame_of_reference_uid=geometry.frame_of_reference_uid,
        padding=padding,
        offsets=geometry.offsets,
    )


def _integer(header: Dataset) -> int | None:
    try:
        value = header.get("InstanceNumber")
        return None if value is None or value == "" else int(value)
    except (ValueError, TypeError, OverflowError):  # IS text that is no number; Instance Number orders nothing here
        return None
