"""A series' voxels: DICOM slices, one NIfTI or MetaImage file, or NumPy slices, as a canonical volume."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from s2ldm_core.io import read_dicom, read_image
from s2ldm_core.io.pixels import read_slice
from s2ldm_core.volume import SliceRecord, Volume, canonical
from train.errors import TrainError
from train.prepare.series import Series

#: Beside or above NumPy slices: ``{"spacing_mm": [dz, dy, dx]}``, for ``.npy`` files carry no geometry.
GEOMETRY_FILE: Final = "geometry.json"
_ARRAY_OFFSET_HU: Final = -1024.0
_MIN_COMMON_NAMES: Final = 8
_SAME_STEP: Final = 0.02
_EVIDENCE_SLICES: Final = 12


def read_scan(series: Series, *, root: Path) -> Volume:
    """Read a series and turn it so that its axes run along the patient's.

    Raises
    ------
    s2ldm_core.errors.S2LDMError
        As `s2ldm_core.io.read_volume` does.
    TrainError
        ``geometry_unknown`` or ``arrays_unreadable`` for NumPy slices.
    """
    if series.is_arrays:
        volume = _read_arrays(series, root)
    elif series.is_dicom:
        volume = read_dicom(list(series.files))
    else:
        volume = read_image(series.files[0])
    turned, _ = canonical(volume)
    return turned


def evidence_slices(series: Series, *, root: Path) -> Iterator[tuple[np.ndarray, tuple[float, float]]]:
    """``(H, W)`` HU and ``(dy, dx)`` mm of a dozen slices from the whole length of an axial series."""
    if series.is_dicom and series.spacing_mm is not None:
        names = sorted(series.files, key=lambda path: _natural(path.name))
        for path in names[:: max(1, len(names) // _EVIDENCE_SLICES)]:
            hu, _ = read_slice(path)
            yield hu, series.spacing_mm[1:]
        return
    volume = read_scan(series, root=root)
    for plane in volume.hu[:: max(1, len(volume.hu) // _EVIDENCE_SLICES)]:
        yield plane, volume.spacing_mm[1:]


def middle_slice(series: Series, *, root: Path) -> tuple[np.ndarray, tuple[float, float]]:
    """``(H, W)`` HU and ``(dy, dx)`` mm of a slice from the middle of an axial series; raises as `read_scan` does."""
    slices = list(evidence_slices(series, root=root))
    return slices[len(slices) // 2]


def aligned_by_name(contrast: Volume, native: Volume) -> Volume:
    """Lay contrast slices where the native slices of the same file name lie (Coltea-Lung-CT-100W pairs its slices so).

    Parameters
    ----------
    contrast, native
        Canonical volumes with slice records.

    Raises
    ------
    TrainError
        ``names_disagree`` when fewer than eight names are common or the names do not run alike in both.
    """
    places = {record.path.name: index for index, record in enumerate(native.slices) if record.path is not None}
    pairs = [
        (index, places[record.path.name])
        for index, record in enumerate(contrast.slices)
        if record.path is not None and record.path.name in places
    ]
    offsets = {other - own for own, other in pairs}
    step, own_step = native.spacing_mm[0], contrast.spacing_mm[0]
    if len(pairs) < _MIN_COMMON_NAMES or len(offsets) != 1 or abs(own_step / step - 1) > _SAME_STEP:
        raise TrainError(
            "names_disagree",
            f"The slices cannot be paired by name: {len(pairs)} of {len(contrast.slices)} names are common, "
            f"at {len(offsets)} offsets, {own_step:.2f} mm apart instead of {step:.2f} mm.",
            "Use the layout phase-folders, which goes by position.",
        )
    affine = contrast.affine.copy()
    affine[:3, 2] = native.affine[:3, 2]
    affine[2, 3] = native.affine[2, 3] + native.affine[2, 2] * offsets.pop()
    return replace(contrast, affine=affine, frame_of_reference_uid=native.frame_of_reference_uid)


def _read_arrays(series: Series, root: Path) -> Volume:
    dz, dy, dx = _array_spacing(series, root)
    files = sorted(series.files, key=lambda path: _natural(path.name))
    try:
        parts = [np.load(path, allow_pickle=False) for path in files]
        stack = parts[0] if len(parts) == 1 else np.stack(parts)
    except (OSError, ValueError) as error:
        raise TrainError(
            "arrays_unreadable", f"The arrays in {series.place} cannot be read as slices of one size ({error})."
        ) from error
    if stack.ndim != 3:
        raise TrainError("arrays_unreadable", f"The arrays in {series.place} make no volume: shape {stack.shape}.")
    # Slices are named from the head downwards, as scanners number them.
    hu = stack[::-1].astype(np.float32) + np.float32(_ARRAY_OFFSET_HU)
    affine = np.diag([dx, dy, dz, 1.0])
    records = (
        tuple(SliceRecord(position_mm=(0.0, 0.0, dz * index), path=path) for index, path in enumerate(reversed(files)))
        if len(files) == len(hu)
        else ()
    )
    return Volume(hu=hu, affine=affine, slices=records)


def _array_spacing(series: Series, root: Path) -> tuple[float, float, float]:
    folder = series.files[0].parent
    for place in (folder, *folder.parents):
        file = place / GEOMETRY_FILE
        if file.is_file():
            try:
                dz, dy, dx = (float(value) for value in json.loads(file.read_text(encoding="utf-8"))["spacing_mm"])
            except (ValueError, KeyError, TypeError) as error:
                raise TrainError(
                    "geometry_unknown", f"{GEOMETRY_FILE} of {series.place} holds no spacing_mm of three numbers."
                ) from error
            if min(dz, dy, dx) > 0:
                return dz, dy, dx
        if place == root:
            break
    raise TrainError(
        "geometry_unknown",
        f"The NumPy slices in {series.place} carry no geometry.",
        f'Put a {GEOMETRY_FILE} beside or above them: {{"spacing_mm": [dz, dy, dx]}}.',
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key in which slice 10 follows slice 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]
