"""Fixtures that every test may use: the real data folder, and small CT series written on the spot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

CTSeriesWriter = Callable[..., list[Path]]

_PROGRAMS = {
    "orthanc": ("Orthanc",),
    "dcmtk": ("storescu", "storescp", "echoscu"),
    "dciodvfy": ("dciodvfy",),
}


def _real_data_folder() -> Path | None:
    """The folder of real CT data: ``S2LDM_REAL_DATA``, else ``../shared/data`` beside the checkout."""
    named = os.environ.get("S2LDM_REAL_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if (folder / "MANIFEST.tsv").is_file() else None


def _missing(program: str) -> bool:
    return shutil.which(program, path=f"/usr/bin:/usr/sbin:/bin:{os.environ.get('PATH', '')}") is None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    no_data = _real_data_folder() is None
    for item in items:
        if no_data and item.get_closest_marker("real_data"):
            item.add_marker(
                pytest.mark.skip(reason="no real CT data: neither S2LDM_REAL_DATA nor ../shared/data has MANIFEST.tsv")
            )
        for marker, programs in _PROGRAMS.items():
            if item.get_closest_marker(marker) and (absent := [name for name in programs if _missing(name)]):
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(absent)} (see `make packages`)"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real CT data; tests that use it also carry the marker ``real_data``."""
    folder = _real_data_folder()
    if folder is None:
        pytest.skip("no real CT data: neither S2LDM_REAL_DATA nor ../shared/data has MANIFEST.tsv")
    return folder


def ct_slice(
    stored: np.ndarray,
    position: tuple[float, float, float],
    *,
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    pixel_spacing: tuple[float, float] = (1.0, 1.0),
    series_uid: str | None = None,
    **attributes: Any,
) -> Dataset:
    """One CT image; ``attributes`` are set last, ``None`` removes one."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName = "Test^Made up"
    dataset.PatientID = "TEST"
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[series_uid or "", "study"])
    dataset.SeriesInstanceUID = series_uid or generate_uid()
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[series_uid or "", "frame of reference"])
    dataset.InstanceNumber = 1
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
    dataset.ImageOrientationPatient = [f"{value:.9f}" for value in orientation]
    dataset.PixelSpacing = list(pixel_spacing)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "-1024", "1", "HU"
    dataset.PixelData = stored.astype("<i2" if stored.dtype.kind == "i" else "<u2").tobytes()
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


@pytest.fixture
def write_ct_series(tmp_path: Path) -> CTSeriesWriter:
    """``write(hu, folder="series", spacing_mm=…, orientation=…, origin=…, **attributes) -> list[Path]``.

    ``hu`` is ``(D, H, W)``; slice ``k`` lies ``k * dz`` along the normal. File names and Instance Numbers run against
    the positions, so that nothing can order by them unnoticed.
    """

    def write(
        hu: np.ndarray,
        *,
        folder: str = "series",
        spacing_mm: tuple[float, float, float] = (2.0, 1.0, 1.0),
        orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
        origin: tuple[float, float, float] = (-10.0, -20.0, 30.0),
        **attributes: Any,
    ) -> list[Path]:
        target = tmp_path / folder
        target.mkdir(exist_ok=True)
        normal = np.cross(orientation[:3], orientation[3:])
        series_uid = generate_uid()
        paths: list[Path] = []
        for index, plane in enumerate(hu):
            position = np.array(origin) + normal * spacing_mm[0] * index
            dataset = ct_slice(
                np.rint(plane + 1024).astype(np.int16),
                (float(position[0]), float(position[1]), float(position[2])),
                orientation=orientation,
                pixel_spacing=(spacing_mm[1], spacing_mm[2]),
                series_uid=series_uid,
                **{"InstanceNumber": len(hu) - index, **attributes},
            )
            path = target / f"{len(hu) - index:03d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    return write


@pytest.fixture
def make_ct_slice() -> Callable[..., Dataset]:
    """`ct_slice`: one CT image as a data set."""
    return ct_slice
