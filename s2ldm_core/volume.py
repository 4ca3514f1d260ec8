"""A CT volume: Hounsfield units, where they lie in the patient, and which slice is which instance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from s2ldm_core.errors import VolumeError
from s2ldm_core.offsets import SliceOffsets


@dataclass(frozen=True, kw_only=True)
class SliceRecord:
    """Where one slice of a volume came from."""

    sop_instance_uid: str | None = None
    #: Centre of the slice's first pixel in LPS mm, Image Position (Patient) (PS3.3 C.7.6.2.1.1).
    position_mm: tuple[float, float, float]
    path: Path | None = None
    instance_number: int | None = None
    #: Which frame of a multi-frame instance, from 1; None for a single-frame one.
    frame: int | None = None


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Hounsfield units in patient coordinates, on a regular grid unless ``offsets`` says otherwise.

    Attributes
    ----------
    hu
        ``(D, H, W)`` float32 in HU: slices, rows, columns.
    affine
        ``(4, 4)`` float64, ``(column i, row j, slice k, 1)`` to LPS mm: the DICOM patient coordinate system
        (PS3.3 C.7.6.2.1.1). Voxel indices mean voxel centres.
    slices
        ``slices[k]`` is the origin of ``hu[k]``; empty when the volume was not read from single slices.
    frame_of_reference_uid
        Frame of Reference UID (PS3.3 C.7.4.1), where there is one.
    padding
        ``(D, H, W)`` bool, true where the scanner wrote pixel padding (PS3.3 C.7.5.1.1.2) instead of a
        measurement; HU there are meaningless. ``None`` when there is none.
    offsets
        How far the slices lie from the grid of ``affine``, where they were read from a stack that is tilted or uneven.

    Raises
    ------
    VolumeError
        ``volume_shape`` or ``volume_affine`` when the parts do not fit together.
    """

    hu: np.ndarray
    affine: np.ndarray
    slices: tuple[SliceRecord, ...] = ()
    frame_of_reference_uid: str | None = None
    padding: np.ndarray | None = None
    offsets: SliceOffsets | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hu", np.asarray(self.hu, dtype=np.float32))
        object.__setattr__(self, "affine", np.array(self.affine, dtype=np.float64))
        object.__setattr__(self, "slices", tuple(self.slices))
        if self.hu.ndim != 3 or 0 in self.hu.shape:
            raise VolumeError(
                "volume_shape", f"A volume has three non-empty axes (slices, rows, columns), not shape {self.hu.shape}."
            )
        if self.affine.shape != (4, 4) or not np.all(np.isfinite(self.affine)):
            raise VolumeError("volume_affine", "A volume's affine is a finite 4 by 4 matrix.")
        if not np.array_equal(self.affine[3], [0.0, 0.0, 0.0, 1.0]) or np.linalg.det(self.affine[:3, :3]) == 0.0:
            raise VolumeError("volume_affine", "A volume's affine is invertible and ends in the row 0 0 0 1.")
        if self.slices and len(self.slices) != self.hu.shape[0]:
            raise VolumeError(
                "volume_shape", f"The volume has {self.hu.shape[0]} slices but {len(self.slices)} slice records."
            )
        if self.padding is not None:
            object.__setattr__(self, "padding", np.asarray(self.padding, dtype=bool))
            if self.padding.shape != self.hu.shape:
                raise VolumeError(
                    "volume_shape",
                    f"The padding mask has shape {self.padding.shape}, the volume {self.hu.shape}.",
                )

        if self.offsets is not None and self.offsets.mm.shape != (self.hu.shape[self.offsets.axis], 3):
            raise VolumeError(
                "volume_shape", f"The volume has shape {self.hu.shape}, its offsets {self.offsets.mm.shape}."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(D, H, W)``."""
        depth, height, width = self.hu.shape
        return depth, height, width

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """``(dz, dy, dx)``: distance between voxel centres along the array's axes, in mm, all positive."""
        dx, dy, dz = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(dz), float(dy), float(dx)

    def with_hu(self, hu: np.ndarray) -> Volume:
        """The same grid and bookkeeping with other HU of the same shape.

        Raises
        ------
        VolumeError
            ``volume_shape`` when the shape differs.
        """
        if np.shape(hu) != self.hu.shape:
            raise VolumeError(
                "volume_shape", f"New HU have shape {np.shape(hu)}, the volume's grid is {self.hu.shape}."
            )
        return replace(self, hu=hu)


@dataclass(frozen=True, kw_only=True)
class Undo:
    """How to take an array or volume from canonical orientation back to the source's, exactly.

    ``permutation`` and ``flips`` say, for each canonical array axis, which source axis it is and whether it is
    reversed. No value is interpolated in either direction.
    """

    permutation: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    source: Volume

    def array(self, canonical_array: np.ndarray) -> np.ndarray:
        """Source-oriented view of a canonical ``(D, H, W)`` array."""
        flipped = canonical_array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return flipped.transpose(tuple(int(axis) for axis in np.argsort(self.permutation)))

    def volume(self, canonical_volume: Volume) -> Volume:
        """Source-oriented volume on exactly the source's grid, with its slice records, frame and padding."""
        return self.source.with_hu(np.ascontiguousarray(self.array(canonical_volume.hu)))


def canonical(volume: Volume) -> tuple[Volume, Undo]:
    """Turn a volume so that its array axes run along the patient's, by permutation and flips only.

    The result's axes run inferior to superior, anterior to posterior, and from the patient's right to left
    (LPS-positive), each as near to the patient axis as the grid allows; oblique grids stay oblique. Slice records
    survive only when the slice axis stays the slice axis (they are reversed with it).

    Returns
    -------
    tuple of Volume and Undo
        ``undo.volume(turned)`` and ``undo.array(turned.hu)`` restore the source orientation exactly.
    """
    permutation = _nearest_axes(volume.affine[:3, :3])
    affine_columns = [2 - axis for axis in permutation]  # array axis (D, H, W) -> affine column (k, j, i)
    flips: list[bool] = []
    affine = volume.affine.copy()
    origin = volume.affine[:3, 3].copy()
    for axis in range(3):  # canonical axis 0, 1, 2 runs along patient z, y, x
        step = volume.affine[:3, affine_columns[axis]]
        flip = bool(step[2 - axis] < 0)
        flips.append(flip)
        if flip:
            origin = origin + step * (volume.hu.shape[permutation[axis]] - 1)
        affine[:3, 2 - axis] = -step if flip else step
    affine[:3, 3] = origin
    turned_flips = (flips[0], flips[1], flips[2])

    def turn(array: np.ndarray) -> np.ndarray:
        turned = array.transpose(permutation)
        return np.ascontiguousarray(turned[tuple(slice(None, None, -1 if flip else 1) for flip in turned_flips)])

    slices: tuple[SliceRecord, ...] = ()
    if permutation[0] == 0:
        slices = volume.slices[::-1] if turned_flips[0] else volume.slices
    turned = Volume(
        hu=turn(volume.hu),
        affine=affine,
        slices=slices,
        frame_of_reference_uid=volume.frame_of_reference_uid,
        padding=None if volume.padding is None else turn(volume.padding),
        offsets=None if volume.offsets is None else volume.offsets.turned(permutation, turned_flips),
    )
    return turned, Undo(permutation=permutation, flips=turned_flips, source=volume)


def _nearest_axes(matrix: np.ndarray) -> tuple[int, int, int]:
    """For patient z, y, x: the array axis (0 slices, 1 rows, 2 columns) nearest to it, each used once."""
    directions = np.abs(matrix / np.linalg.norm(matrix, axis=0))  # rows: patient x, y, z; columns: i, j, k
    best: tuple[int, int, int] = (0, 1, 2)
    best_score = -1.0
    for candidate in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        score = sum(float(directions[2 - patient, 2 - axis]) for patient, axis in enumerate(candidate))
        if score > best_score + 1e-9:
            best, best_score = candidate, score
    return best
