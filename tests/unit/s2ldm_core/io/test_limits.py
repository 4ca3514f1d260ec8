"""Images that ask for more than any CT slice takes are told before they are decoded."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from s2ldm_core.errors import VolumeError
from s2ldm_core.io.header import read_header
from s2ldm_core.io.pixels import read_slice
from tests.ct_series import ct_slice


def image(syntax: str | None = None) -> Dataset:
    dataset = ct_slice(np.arange(64 * 48, dtype=np.uint16).reshape(64, 48), (0.0, 0.0, 0.0))
    if syntax is not None:
        dataset.compress(syntax)
    return dataset


def refused(dataset: Dataset, folder: Path) -> str:
    path = folder / "image.dcm"
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(VolumeError) as raised:
        read_slice(path)
    return raised.value.code


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_image_as_its_header_says_is_read(syntax: str, tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    image(syntax).save_as(path, enforce_file_format=True)

    hu, _ = read_slice(path)

    assert hu.shape == (64, 48)
    assert hu[63, 47] == 64 * 48 - 1 - 1024


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_stream_of_another_size_than_the_header_is_not_decoded(syntax: str, tmp_path: Path) -> None:
    dataset = image(syntax)
    dataset.Rows, dataset.Columns = 48, 64

    assert refused(dataset, tmp_path) == "stream_differs"


@pytest.mark.parametrize("syntax", [None, JPEG2000Lossless, RLELossless])
def test_header_of_more_pixels_than_any_slice_is_refused(syntax: str | None, tmp_path: Path) -> None:
    dataset = image(syntax)
    dataset.Rows = dataset.Columns = 20_000

    assert refused(dataset, tmp_path) == "image_too_large"


def test_many_frames_count(tmp_path: Path) -> None:
    dataset = image(JPEG2000Lossless)
    dataset.NumberOfFrames = 100_000

    assert refused(dataset, tmp_path) == "image_too_large"


def test_more_rle_than_the_image_has_is_not_decoded(tmp_path: Path) -> None:
    dataset = image(RLELossless)
    dataset.Rows = dataset.Columns = 2

    assert refused(dataset, tmp_path) == "image_too_large"


def test_what_inflates_without_end_is_refused_by_its_header_already(tmp_path: Path) -> None:
    dataset = ct_slice(np.zeros((8, 8), np.uint16), (0.0, 0.0, 0.0))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = tmp_path / "image.dcm"
    dataset.save_as(path, enforce_file_format=True)
    assert read_header(path) is not None
    content = path.read_bytes()
    offset = 144 + int.from_bytes(content[140:144], "little")
    plain = zlib.decompress(content[offset:], -zlib.MAX_WBITS)
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = [content[:offset], deflate.compress(plain), *(deflate.compress(bytes(2**20)) for _ in range(257))]
    path.write_bytes(b"".join((*bomb, deflate.flush())))
    assert path.stat().st_size < 2**20

    with pytest.raises(VolumeError) as raised:
        read_header(path)

    assert raised.value.code == "image_too_large"
