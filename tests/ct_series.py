"""CT images made on the spot."""

from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


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


def body_hu(slices: int, size: int = 48) -> np.ndarray:
    """``(slices, size, size)`` HU of a made-up body: soft tissue under fat, in air, with a scanner's noise.

    Enough to be Hounsfield units, too little to be a torso.
    """
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius = np.hypot(y, x) / (size / 2)
    plane = np.where(radius < 0.6, 45.0, np.where(radius < 0.8, -100.0, -1000.0))
    hu: np.ndarray = np.rint(plane + rng.normal(0.0, 8.0, (slices, size, size)))
    return np.maximum(hu, -1024.0)
