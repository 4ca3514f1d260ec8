"""Volumes from and to files: DICOM series, NIfTI, MetaImage."""

from collections.abc import Sequence
from pathlib import Path

from s2ldm_core.errors import VolumeError
from s2ldm_core.handling import REGULAR_ONLY, StackHandling
from s2ldm_core.io.dicom import read_dicom
from s2ldm_core.io.image import IMAGE_SUFFIXES, read_image, write_image
from s2ldm_core.volume import Volume

__all__ = ["IMAGE_SUFFIXES", "read_dicom", "read_image", "read_volume", "write_image", "write_volume"]


def read_volume(
    source: str | Path | Sequence[str | Path],
    *,
    series_uid: str | None = None,
    handling: StackHandling = REGULAR_ONLY,
) -> Volume:
    """Read a volume in HU.

    Parameters
    ----------
    source
        A folder with a DICOM CT series (searched with its subfolders), a list of DICOM files, or one NIfTI
        (``.nii``, ``.nii.gz``) or MetaImage (``.mha``, ``.mhd``) file.
    series_uid
        Which series to read when there are several.
    handling
        Whether a tilted or uneven DICOM stack is refused; where it is not, `Volume.offsets` says where its slices lie.

    Returns
    -------
    Volume
        ``(D, H, W)`` float32 HU; slices of a DICOM series are ordered along their normal.

    Raises
    ------
    VolumeError
        With a reason code; see `read_dicom`, `read_image` and `s2ldm_core.geometry.series_geometry`.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.exists():
            raise VolumeError("file_not_found", f"There is no file or folder {path}.")
        if not path.is_dir() and path.name.lower().endswith(IMAGE_SUFFIXES):
            return read_image(path)
        return read_dicom(path if path.is_dir() else [path], series_uid=series_uid, handling=handling)
    return read_dicom([Path(path) for path in source], series_uid=series_uid, handling=handling)


def write_volume(volume: Volume, path: str | Path) -> None:
    """Write a volume's HU (float32) and affine as NIfTI or MetaImage, by the file name's ending.

    Raises
    ------
    VolumeError
        ``unknown_format``, ``sheared_affine``, ``uneven_stack`` or ``file_unwritable``.
    """
    write_image(volume, Path(path))
