"""How large an image says it is, looked at before anything is decoded: a few KiB can ask for gigabytes."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.encaps import generate_fragments
from pydicom.uid import RLELossless

from s2ldm_core.errors import VolumeError

#: More pixels than any CT image has (PS3.3 C.7.6.3.1.1; scanners make 512 to 2048 rows).
MAX_PIXELS = 4096 * 4096
#: More than a single-frame CT image with its private elements has.
MAX_INFLATED_BYTES = 256 * 1024 * 1024
#: Longest run that two bytes of RLE can stand for, and the most that RLE can lengthen (PS3.5 G.3).
_RLE_RUN, _RLE_LENGTHENED = 64, 2

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_BYTES = 1024
_CHUNK_BYTES = 1024 * 1024
# JPEG 2000 (also high-throughput) codestreams begin with SOC and SIZ (ISO/IEC 15444-1 A.4, A.5.1).
_SOC_SIZ = b"\xff\x4f\xff\x51"
_JPEG_SOI = b"\xff\xd8"
# JPEG's frame headers SOF0 to SOF15 without DHT, JPG and DAC (ISO/IEC 10918-1 B.1.1.3), and JPEG-LS' SOF55.
_JPEG_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_JPEG_SOS = 0xDA


def check_image_size(dataset: Dataset) -> None:
    """Raise unless one image of a CT's size stands in the header, and in the compressed stream as well.

    Raises
    ------
    VolumeError
        ``image_too_large``, or ``stream_differs`` where the stream is of another size than the header.
    ValueError, TypeError, AttributeError, struct.error
        The header or the stream cannot be read.
    """
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
    if rows * columns * frames * samples > MAX_PIXELS:
        raise _too_large(f"{rows} x {columns} pixels" + (f" in {frames} frames" if frames > 1 else ""))
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    stream = b"".join(_fragments(dataset))
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        # At worst each byte stands for a run; what is longer than the image can be is none of it.
        if len(stream) > _RLE_LENGTHENED * (rows * columns * frames * samples * 4 + 64):
            raise _too_large(f"{len(stream)} bytes of RLE for {rows} x {columns} pixels")
        return
    size = _stream_size(stream)
    if size is not None and size != (rows, columns):
        raise VolumeError(
            "stream_differs",
            f"The compressed pixels of a slice are {size[0]} x {size[1]}, its header says {rows} x {columns}.",
            "The file is damaged or was changed: send the original again.",
        )


def check_frame_size(dataset: Dataset) -> None:
    """Raise unless a frame of a multi-frame image, which is decoded frame by frame, has a CT's size.

    Raises
    ------
    VolumeError
        ``image_too_large``.
    """
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows * columns * int(dataset.get("SamplesPerPixel") or 1) > MAX_PIXELS:
        raise _too_large(f"frames of {rows} x {columns} pixels")


def check_inflated_size(path: Path) -> None:
    """Raise if a deflated data set (PS3.5 A.5) is larger than any slice; no more than a little of it is in memory.

    Raises
    ------
    VolumeError
        ``image_too_large``.
    OSError, zlib.error
        The file cannot be read, or is damaged.
    """
    with path.open("rb") as file:
        start = file.read(_META_BYTES)
        if _DEFLATED not in start or start[128:132] != b"DICM":
            return
        # The group length says where the data set begins (PS3.10 7.1).
        file.seek(144 + int.from_bytes(start[140:144], "little"))
        inflate, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        left = file.read(_CHUNK_BYTES)
        while left and not inflate.eof:
            total += len(inflate.decompress(left, _CHUNK_BYTES))
            if total > MAX_INFLATED_BYTES:
                raise _too_large(f"more than {MAX_INFLATED_BYTES // 2**20} MiB when inflated")
            left = inflate.unconsumed_tail or file.read(_CHUNK_BYTES)


def _fragments(dataset: Any) -> Iterator[bytes]:
    """The fragments of Pixel Data without the basic offset table, which is the first (PS3.5 A.4)."""
    fragments = generate_fragments(dataset.PixelData)
    next(fragments, None)
    return fragments


def _stream_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns that a compressed stream is of; None for a kind that is not known here."""
    if (start := stream.find(_SOC_SIZ, 0, _META_BYTES)) >= 0:
        width, height, left, top = struct.unpack_from(">4L", stream, start + 8)
        return height - top, width - left
    if not stream.startswith(_JPEG_SOI):
        return None
    offset = 2
    while offset + 9 <= len(stream):
        if stream[offset] != 0xFF:
            raise ValueError("no JPEG marker")
        marker = stream[offset + 1]
        if marker in _JPEG_SOF:
            rows, columns = struct.unpack_from(">2H", stream, offset + 5)
            return rows, columns
        if marker == _JPEG_SOS:
            break
        # Fill bytes stand alone, every other marker before the scan has a length.
        offset += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", stream, offset + 2)[0]
    raise ValueError("no JPEG frame header")


def _too_large(what: str) -> VolumeError:
    return VolumeError(
        "image_too_large",
        f"An image of the series is larger than any CT slice ({what}).",
        "Send the original slices; what was made of them, or is damaged, is not translated.",
    )
