"""Small series to send, each with content and UIDs of its own that follow from a name."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, generate_uid

from tests.ct_series import body_hu, ct_slice

SLICES = 6
_SIZE = 32
_SPACING_MM = (3.0, 2.0, 2.0)
SOP_CLASS = CTImageStorage


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image: its SOP Instance UID, its data set (explicit VR little endian) and the SHA-256 of that."""

    uid: str
    content: bytes
    digest: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series of `SLICES` images."""

    uid: str
    images: tuple[Image, ...]


def make_series(name: str) -> Series:
    """A series of a made-up body; the same name, the same bytes."""
    series_uid = generate_uid(entropy_srcs=["kills", name])
    # What tells this series' voxels from those of others.
    shift = int.from_bytes(hashlib.sha256(name.encode()).digest()[:1], "big") % 16
    images = []
    for index, plane in enumerate(body_hu(SLICES, _SIZE) + shift):
        dataset = ct_slice(
            np.rint(plane + 1024).astype(np.int16),
            (0.0, 0.0, _SPACING_MM[0] * index),
            pixel_spacing=_SPACING_MM[1:],
            series_uid=series_uid,
            SOPInstanceUID=generate_uid(entropy_srcs=["kills", name, str(index)]),
            InstanceNumber=index + 1,
        )
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, dataset)
        content = buffer.getvalue()
        images.append(
            Image(uid=str(dataset.SOPInstanceUID), content=content, digest=hashlib.sha256(content).hexdigest())
        )
    return Series(uid=series_uid, images=tuple(images))


def write_down(path: Path, uid: str, digest: str) -> None:
    """Append an acknowledged instance to a ledger."""
    with path.open("a") as file:
        file.write(f"{uid} {digest}\n")
