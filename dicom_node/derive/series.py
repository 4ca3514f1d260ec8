"""Writing a derived series: source headers and synthetic HU in, DICOM files out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.catalog import DerivedInstance
from dicom_node.derive import attributes, uids
from dicom_node.derive.forms import output_form
from dicom_node.derive.forms.form import SyntheticSeries
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.mark import PlacedMark, place_mark
from dicom_node.derive.marks import Mark
from dicom_node.derive.pixels import plan_storage, source_padding_hu
from dicom_node.derive.uncertainty import uncertainty_info, uncertainty_series
from dicom_node.derive.verbatim import decimals_of, text_of
from dicom_node.errors import DeriveError
from dicom_node.private import FOLDER_MODE
from dicom_node.source_header import incomplete, mend
from dicom_node.translation import Uncertainty
from s2ldm_core.files import sync_folder
from s2ldm_core.io.frames import frame_headers, frame_number, slice_uid

#: Taken for slices that lie closer together, or where there is only one.
_THINNEST_MM = 0.1


@dataclass(frozen=True, kw_only=True)
class DerivedSeries:
    """A derived series on disk; ``instances`` in the order of the source slices, one for the multi-frame form.

    Where its uncertainty is told, the instances of that series follow.
    """

    series_instance_uid: str
    instances: tuple[DerivedInstance, ...]
    uncertainty_series_instance_uid: str | None = None


def write_derived_series(
    sources: Sequence[Path],
    hu: np.ndarray,
    *,
    info: DerivationInfo,
    folder: Path,
    padding: np.ndarray | None = None,
    uncertainty: Uncertainty | None = None,
    source_digests: Sequence[str] | None = None,
    frames: Sequence[int | None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> DerivedSeries:
    """Write the derived series of one source series, and that of its uncertainty where there is one.

    Parameters
    ----------
    sources
        DICOM files of the source slices; ``sources[k]`` is the slice of ``hu[k]``.
    hu
        ``(D, H, W)`` synthetic HU on the source's grid, integer or float; may be a memory map, one slice is in
        memory at a time.
    folder
        Where the files go; made if absent. Each file appears in full or not at all. The uncertainty's go into a folder
        ``uncertainty`` in it.
    padding
        ``(D, H, W)`` bool, true where the source has padding.
    uncertainty
        How far ``hu`` may be from the truth.
    source_digests
        SHA-256 (hex) of each source instance's content; taken from the files when not given. They go into the UIDs.
    frames
        Which frame of ``sources[k]`` its slice is, from 1; None for files of one image each.
    progress
        Called with the fraction done, 0 to 1.

    Raises
    ------
    DeriveError
        The source headers do not carry what a derived object needs, or do not fit ``hu``.
    """
    if hu.ndim != 3 or len(sources) != hu.shape[0] or (padding is not None and padding.shape != hu.shape):
        raise DeriveError(
            "slices_do_not_fit",
            f"There are {len(sources)} source slices for a synthetic volume of shape {tuple(hu.shape)}.",
            "Run the job again.",
        )
    headers = _read_headers(sources, frames or [None] * len(sources), shape=hu.shape[1:])
    if source_digests is None:
        of_files = {path: _digest(path) for path in dict.fromkeys(sources)}
        source_digests = [of_files[path] for path in sources]
    series_uid = uids.series_instance_uid(zip(map(slice_uid, headers), source_digests, strict=True), info=info)
    padding_values = [value for value in map(source_padding_hu, headers) if value is not None]
    kinds = {tuple(attributes.image_type(header)) for header in headers}
    info = replace(info, replaces=tuple(uid for uid in info.replaces if uid != series_uid))
    series = SyntheticSeries(
        headers=headers,
        hu=hu,
        padding=padding,
        scale=plan_storage(hu, padding=padding, padding_hu=min(padding_values, default=None)),
        info=info,
        image_type=list(kinds.pop()) if len(kinds) == 1 else ["DERIVED", "SECONDARY", "AXIAL"],
        series_instance_uid=str(series_uid),
        frame_of_reference_uid=_common_frame_of_reference(headers),
        window_hu=info.window(attributes.source_window_hu(headers)),
        mark=None if info.mark is Mark.NONE else _placed_mark(hu, headers, info=info, padding=padding),
    )
    report = progress or (lambda _: None)
    if uncertainty is None:
        return DerivedSeries(series_instance_uid=str(series_uid), instances=_written(series, folder, progress=report))
    told = uncertainty_info(info, of_series=str(series_uid), calibration=uncertainty.calibration)
    mark = None if info.mark is Mark.NONE else _placed_mark(hu, headers, info=told, padding=padding)
    second = uncertainty_series(series, uncertainty, info=told, mark=mark)
    instances = _written(series, folder, progress=lambda fraction: report(fraction / 2))
    instances += _written(second, folder / "uncertainty", progress=lambda fraction: report(0.5 + fraction / 2))
    return DerivedSeries(
        series_instance_uid=str(series_uid),
        instances=instances,
        uncertainty_series_instance_uid=second.series_instance_uid,
    )


def _written(
    series: SyntheticSeries, folder: Path, *, progress: Callable[[float], None]
) -> tuple[DerivedInstance, ...]:
    """Write one series in its form."""
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    written = output_form(series.info.output).write(series, folder, progress=progress)
    distinct = len({one.sop_instance_uid for one in written})
    if distinct != len(written) or distinct not in (1, len(series.headers)):  # one of all slices, or one of each
        raise DeriveError(
            "slices_differ",
            f"{distinct} derived images were written of {len(series.headers)} source slices.",
            "Retry the job; if it fails again, report this with the log.",
        )
    sync_folder(folder)
    return tuple(written)


def _common_frame_of_reference(headers: Sequence[Dataset]) -> str:
    """The frame of reference of slices that do not name theirs: the only one that the others name, else one of ours."""
    named = {uid for header in headers if (uid := text_of(header, "FrameOfReferenceUID"))}
    if len(named) == 1:
        return named.pop()
    return str(uids.frame_of_reference_uid(text_of(headers[0], "SeriesInstanceUID")))


def _placed_mark(
    hu: np.ndarray, headers: Sequence[Dataset], *, info: DerivationInfo, padding: np.ndarray | None
) -> PlacedMark | None:
    """The visible mark, where it is off the body."""
    rows, columns = decimals_of(headers[0], "PixelSpacing")
    positions = np.array([decimals_of(header, "ImagePositionPatient") for header in headers])
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    between = float(np.median(steps)) if len(steps) else 0.0
    return place_mark(info.mark_text, hu, (max(between, _THINNEST_MM), rows, columns), padding=padding)


def _read_headers(sources: Sequence[Path], frames: Sequence[int | None], *, shape: tuple[int, ...]) -> list[Dataset]:
    """Headers of the source slices; each file is read once, however many of its frames are slices."""
    read: dict[Path, dict[int | None, Dataset]] = {}
    headers = []
    for index, (path, frame) in enumerate(zip(sources, frames, strict=True)):
        if path not in read:
            read = {path: {frame_number(one): one for one in frame_headers(_read_file(path, index=index))}}
        if frame not in read[path]:
            raise DeriveError(
                "slices_do_not_fit", f"The source of slice {index + 1} has no frame {frame}.", "Run the job again."
            )
        headers.append(_checked(read[path][frame], index=index, shape=shape))
    return headers


def _read_file(path: Path, *, index: int) -> Dataset:
    try:
        return dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError) as error:
        raise DeriveError(
            "source_unreadable",
            f"Slice {index + 1} of the source series can no longer be read from the spool: {type(error).__name__}.",
            "Send the series again.",
        ) from error


def _checked(header: Dataset, *, index: int, shape: tuple[int, ...]) -> Dataset:
    """Header of a source slice, checked for what a derived object cannot do without."""
    faults = incomplete(header)
    if faults:
        raise DeriveError(
            "source_header_incomplete",
            f"Slice {index + 1} of the source series cannot be used: "
            f"{', '.join(f'{keyword} is {fault}' for keyword, fault in faults.items())}.",
            "Send the series from the scanner or archive that holds it complete.",
        )
    if (header.get("Rows"), header.get("Columns")) != tuple(shape):
        raise DeriveError(
            "slices_do_not_fit",
            f"Slice {index + 1} has {header.get('Rows')} rows and {header.get('Columns')} columns, "
            f"the synthetic volume {shape[0]} and {shape[1]}.",
            "Run the job again.",
        )
    mend(header)
    return header


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
