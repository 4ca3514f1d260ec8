"""Volumes as SimpleITK images and back: both live in LPS millimetres, so nothing is turned on the way."""

import numpy as np
import SimpleITK as sitk

from s2ldm_core.resample import Method, to_spacing
from s2ldm_core.volume import Volume

AIR_HU = -1024.0


def image_of(volume: Volume, array: np.ndarray | None = None) -> sitk.Image:
    """The volume's HU, or ``array`` of the same shape, as a SimpleITK image on the volume's grid.

    ``array`` is ``(D, H, W)`` of any number type; bool becomes uint8.
    """
    values = volume.hu if array is None else array
    image = sitk.GetImageFromArray(values.astype(np.uint8) if values.dtype == bool else values)
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    image.SetSpacing([float(value) for value in spacing])
    image.SetDirection([float(value) for value in (volume.affine[:3, :3] / spacing).ravel()])
    image.SetOrigin([float(value) for value in volume.affine[:3, 3]])
    return image


def array_of(image: sitk.Image) -> np.ndarray:
    """``(D, H, W)`` copy of an image's values."""
    values: np.ndarray = sitk.GetArrayFromImage(image)
    return values


def reduced(volume: Volume, spacing_mm: tuple[float, float, float], *, method: Method = "linear") -> Volume:
    """The volume averaged to ``spacing_mm`` along the axes that are finer than it; coarser axes stay as they are."""
    target = tuple(max(own, wanted) for own, wanted in zip(volume.spacing_mm, spacing_mm, strict=True))
    hu, grid = to_spacing(volume.hu, volume.spacing_mm, (target[0], target[1], target[2]), method=method)
    return Volume(
        hu=hu, affine=grid.affine(volume.affine), frame_of_reference_uid=volume.frame_of_reference_uid, padding=None
    )


def cropped(volume: Volume, box: tuple[slice, slice, slice]) -> Volume:
    """The part of a volume inside ``box`` (slices of ``(D, H, W)`` with step 1)."""
    start = [part.indices(size)[0] for part, size in zip(box, volume.shape, strict=True)]
    affine = volume.affine.copy()
    affine[:3, 3] = (volume.affine @ np.array([start[2], start[1], start[0], 1.0]))[:3]
    return Volume(
        hu=volume.hu[box],
        affine=affine,
        frame_of_reference_uid=volume.frame_of_reference_uid,
        padding=None if volume.padding is None else volume.padding[box],
    )
