"""The pixels of one DICOM file, whatever its transfer syntax."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.pixels import iter_pixels, pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from s2ldm_core.errors import VolumeError
from s2ldm_core.io.bounded import read_within
from s2ldm_core.io.frames import frame_headers, frame_number
from s2ldm_core.io.header import PARSE_ERRORS, image_name, lacks_preamble
from s2ldm_core.io.hounsfield import hu_rescale, to_hu
from s2ldm_core.io.limits import check_frame_size, check_image_size, check_inflated_size

# JPEG Extended with 12 bits and the retired JPEG processes (PS3.5 A.4.1): no pydicom plugin decodes them, ITK does.
_ITK_SYNTAXES = frozenset({"1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"})


def read_slice(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode one single-frame CT image.

    Returns
    -------
    tuple of arrays
        ``(H, W)`` float32 HU, and ``(H, W)`` bool padding or ``None`` when there is none.

    Raises
    ------
    VolumeError
        ``not_hu``, ``unsupported_compression`` or ``pixels_unreadable``; before anything is decoded ``image_too_large``
        or ``stream_differs``.
    """
    with _faults_named(path):
        check_inflated_size(path)
        dataset = _opened(path)
        check_image_size(dataset)
        _check_length(dataset, path)
        return to_hu(dataset, _stored(dataset, path))


def read_slices(slices: Iterable[tuple[Path, int | None]]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Decode slices one after the other: files of one image each, or frames (from 1) of enhanced multi-frame CT.

    One slice is in memory at a time where they are not compressed. Yields and raises as `read_slice`.
    """
    for path, group in groupby(slices, key=lambda one: one[0]):
        numbers = [number for _, number in group]
        if None in numbers:
            for _ in numbers:
                yield read_slice(path)
        else:
            yield from _read_frames(path, [number for number in numbers if number is not None])


def _read_frames(path: Path, numbers: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    with _faults_named(path):
        check_inflated_size(path)
        dataset = _opened(path, stop_before_pixels=True)
        check_frame_size(dataset)
        headers = {frame_number(one): one for one in frame_headers(dataset)}
        indices = [number - 1 for number in numbers]
        stored = iter_pixels(path, raw=True, indices=indices, correct_unused_bits=False)
        for number, plane in zip(numbers, stored, strict=True):
            yield to_hu(headers[number], plane)


def _opened(path: Path, *, stop_before_pixels: bool = False) -> Dataset:
    dataset = read_within(path, force=bool(lacks_preamble(path)), stop_before_pixels=stop_before_pixels)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _transfer_syntax(dataset)
    return dataset


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    """What a decoder raises becomes a reason that names file and transfer syntax."""
    try:
        yield
    except NotImplementedError as error:
        raise VolumeError(
            "unsupported_compression",
            f"The pixels of {image_name(path)} are compressed as {_syntax_of(path)}, which cannot be decoded.",
            "Have the sender use a current lossless transfer syntax, or none.",
        ) from error
    except (OSError, RuntimeError, *PARSE_ERRORS) as error:
        raise VolumeError(
            "pixels_unreadable",
            f"The pixels of {image_name(path)} ({_syntax_of(path)}) cannot be decoded ({type(error).__name__}).",
            "The file is damaged or cut short: send it again.",
        ) from error


def _syntax_of(path: Path) -> str:
    try:
        return str(_opened(path, stop_before_pixels=True).file_meta.TransferSyntaxUID.name)
    except (OSError, *PARSE_ERRORS):
        return "unknown transfer syntax"


def _check_length(dataset: Dataset, path: Path) -> None:
    """Refuse uncompressed pixels that are a row or more longer than the header says: rows would be cut elsewhere.

    Less than that is padding, which some writers leave (PS3.5 8.1.1); too short is for the decoder to say.
    """
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        return
    row = int(dataset.Columns) * int(dataset.SamplesPerPixel) * int(dataset.BitsAllocated) // 8
    if len(dataset.PixelData) - row * int(dataset.Rows) >= row:
        raise VolumeError(
            "pixels_unreadable",
            f"The pixels of {image_name(path)} are more than its {dataset.Rows} rows and {dataset.Columns} columns.",
            "The header or the pixels are damaged: send the image again.",
        )


def _stored(dataset: Dataset, path: Path) -> np.ndarray:
    """``(H, W)`` integers with the bits above Bits Stored still in place, where padding may hide."""
    if dataset.file_meta.TransferSyntaxUID in _ITK_SYNTAXES and int(dataset.BitsAllocated) == 16:
        slope, intercept = hu_rescale(dataset)
        rescaled = sitk.GetArrayFromImage(sitk.ReadImage(str(path), sitk.sitkFloat64))[0]
        dtype = np.int16 if dataset.PixelRepresentation else np.uint16
        return np.rint((rescaled - intercept) / slope).astype(dtype)
    return pixel_array(dataset, raw=True, correct_unused_bits=False)


def _transfer_syntax(dataset: Dataset) -> UID:
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian
