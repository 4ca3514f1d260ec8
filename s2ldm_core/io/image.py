"""NIfTI and MetaImage through SimpleITK, whose physical space is DICOM's LPS."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from s2ldm_core.errors import VolumeError
from s2ldm_core.files import atomic_path
from s2ldm_core.volume import Volume

#: File name endings that `read_image` and `write_image` know.
IMAGE_SUFFIXES: tuple[str, ...] = (".nii.gz", ".nii", ".mha", ".mhd")

_MAX_VOXELS = 2**30
# HU of the air that fills voxels without a measurement.
_AIR_HU = -1024.0
_EIGHT_BIT = (sitk.sitkUInt8, sitk.sitkInt8)


def read_image(path: Path) -> Volume:
    """Read a three-dimensional CT image in HU.

    Voxels that are not a number become padding at -1024 HU (in NIfTI, the library makes them 0 before we see them).

    Raises
    ------
    VolumeError
        ``file_unreadable``, ``not_3d``, ``not_hu`` (eight-bit, colour, or without any negative value) or
        ``volume_too_large``.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _refuse(path, reader)
        image = reader.Execute()
    except RuntimeError as error:  # SimpleITK raises nothing else
        raise VolumeError(
            "file_unreadable",
            f"{path.name} cannot be read: {_last_line(error)}",
            "Write the image again with an orthogonal (unsheared) orientation, or convert it from DICOM anew.",
        ) from error
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    hu = sitk.GetArrayFromImage(image).astype(np.float32)
    padding = ~np.isfinite(hu)
    hu[padding] = _AIR_HU
    if hu.min() >= 0:
        raise VolumeError(
            "not_hu",
            f"{path.name} has no negative value, so its numbers are not Hounsfield units (air is -1000, fat -100).",
            "Convert the CT from DICOM with its rescale applied.",
        )
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(hu=hu, affine=affine, padding=padding if padding.any() else None)


def _refuse(path: Path, reader: sitk.ImageFileReader) -> None:
    """What the header alone rules out, before any voxel is read."""
    size = reader.GetSize()
    if len(size) not in (3, 4) or min(size[:3]) < 2 or any(count != 1 for count in size[3:]):
        raise VolumeError(
            "not_3d",
            f"{path.name} is no single three-dimensional image (its size is {' x '.join(map(str, size))}).",
            "Give one three-dimensional CT image per file.",
        )
    if int(np.prod(size, dtype=np.int64)) > _MAX_VOXELS:
        raise VolumeError("volume_too_large", f"{path.name} has more than {_MAX_VOXELS} voxels.", "Crop the image.")
    if reader.GetNumberOfComponents() != 1 or reader.GetPixelID() in _EIGHT_BIT:
        raise VolumeError(
            "not_hu",
            f"{path.name} holds {sitk.GetPixelIDValueAsString(reader.GetPixelID())} values, which cannot be "
            "Hounsfield units.",
            "Give a CT image with 16-bit or floating-point Hounsfield units.",
        )


def write_image(volume: Volume, path: Path) -> None:
    """Write HU as float32 with the volume's affine; an existing file is replaced only by a complete one.

    NIfTI keeps the affine in single precision, MetaImage in double. A ``.mhd`` header has its voxels in a second file
    and is written in place.

    Raises
    ------
    VolumeError
        ``unknown_format``, ``sheared_affine``, ``uneven_stack`` or ``file_unwritable``.
    """
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise VolumeError("unknown_format", f"{path.name} does not end in {', '.join(IMAGE_SUFFIXES)}.")
    if volume.offsets is not None:
        raise VolumeError(
            "uneven_stack",
            "The slices are tilted or unevenly spaced, which these files cannot express.",
            "Write DICOM, where each slice says its own place.",
        )
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    direction = volume.affine[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise VolumeError(
            "sheared_affine", "The volume's axes are not perpendicular, which these files cannot express."
        )
    image = sitk.GetImageFromArray(volume.hu)
    image.SetSpacing([float(value) for value in spacing])
    image.SetDirection([float(value) for value in direction.ravel()])
    image.SetOrigin([float(value) for value in volume.affine[:3, 3]])
    try:
        with nullcontext(path) if suffix == ".mhd" else atomic_path(path, ending=suffix) as target:
            sitk.WriteImage(image, str(target), useCompression=suffix in (".nii.gz", ".mha"))
    except (RuntimeError, OSError) as error:
        raise VolumeError(
            "file_unwritable", f"{path} cannot be written: {_last_line(error)}", "Check the folder and the free space."
        ) from error


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__
