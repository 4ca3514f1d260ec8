"""Writes a phantom as a CT Image Storage series (PS3.3 A.3)."""

import hashlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from s2ldm_core.errors import PhantomError
from s2ldm_core.phantom.phantom import Phantom

_IMPLEMENTATION = UID("2.25.214748364700001")
_INTERCEPT = -1024


def _uid(*parts: object) -> UID:
    """Return a UID under 2.25 (PS3.5 B.2) that depends on the parts alone."""
    digest = hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def write_series(
    phantom: Phantom,
    folder: str | Path,
    *,
    phase: str = "native",
    noise_seed: int | None = 0,
    breathing: float = 0.0,
    series_number: int | None = None,
) -> list[Path]:
    """Write one phase as a CT series, one file per slice from feet to head, and return the files.

    Stored values are unsigned 16-bit, HU = value - 1024. The patient is made up; every UID follows from the seed, the grid and
    the phase, so phases of one phantom share study and frame of reference and writing again gives the same series.

    Raises
    ------
    PhantomError : the folder cannot be written.
    """
    folder = Path(folder)
    hu = phantom.hu(phase, noise_seed=noise_seed, breathing=breathing)
    stored = np.clip(np.rint(hu) - _INTERCEPT, 0, 4095).astype("<u2")
    grid = (phantom.seed, phantom.shape, phantom.spacing_mm, phantom.affine.tolist(), phantom.patient, phantom.scanner)
    study, frame = _uid("study", phantom.seed), _uid("frame", phantom.seed)
    series = _uid("series", *grid, phase, noise_seed, breathing)
    seconds = phantom.seconds(phase)
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index, plane in enumerate(stored):
            dataset = _slice(phantom, plane, index=index, instance=_uid("instance", series, index))
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
            dataset.SeriesNumber = series_number if series_number is not None else (2 if seconds is None else 3)
            dataset.SeriesDescription = f"PHANTOM {phase.upper()}"
            if seconds is not None:
                dataset.ContrastBolusAgent = "SIMULATED IODINE"
            path = folder / f"{index + 1:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
    except OSError as error:
        raise PhantomError(
            "phantom_write",
            f"The phantom series could not be written: {error.strerror}.",
            "Check space and rights of the folder.",
        ) from error
    return paths


def _slice(phantom: Phantom, plane: np.ndarray, *, index: int, instance: UID) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _patient_and_study(ds, phantom)
    dz, dy, dx = phantom.spacing_mm
    origin = phantom.affine[:3, 3] + phantom.affine[:3, 2] * index
    # PS3.3 C.8.2.1 CT Image, C.7.6.1 General Image, C.7.6.2 Image Plane, C.7.6.3 Image Pixel.
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, instance
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Modality = "CT"
    ds.Manufacturer = "DIGITAL PHANTOM"
    ds.ManufacturerModelName = "TORSO"
    ds.SoftwareVersions = "1"
    ds.DeviceSerialNumber = "0"
    ds.InstanceNumber = index + 1
    ds.AcquisitionNumber = 1
    ds.ImagePositionPatient = [f"{value:.6f}".rstrip("0").rstrip(".")[:16] for value in origin]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [f"{dy:.6g}", f"{dx:.6g}"]
    ds.SliceThickness = f"{dz:.6g}"
    ds.SpacingBetweenSlices = f"{dz:.6g}"
    ds.SliceLocation = f"{origin[2]:.6g}"
    ds.PositionReferenceIndicator = ""
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = {"chest": "CHEST", "abdomen": "ABDOMEN", "abdomen_pelvis": "ABDOMEN"}.get(
        phantom.region, "CHEST"
    )
    ds.KVP = "120"
    ds.ConvolutionKernel = f"PSF{phantom.scanner.psf_fwhm_mm:.1f}"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = plane.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(_INTERCEPT), "1", "HU"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    ds.PixelData = plane.tobytes()
    return ds


def _patient_and_study(ds: Dataset, phantom: Phantom) -> None:
    person = phantom.patient
    ds.PatientName = f"PHANTOM^SEED {phantom.seed}"
    ds.PatientID = f"PHANTOM-{phantom.seed}"
    ds.PatientBirthDate = ""
    ds.PatientSex = person.sex
    ds.PatientAge = f"{person.age:03d}Y"
    ds.PatientSize = f"{person.height_cm / 100:.2f}"
    ds.PatientWeight = f"{person.weight_kg:.1f}"
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Made-up digital phantom"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.StudyID = str(phantom.seed)
    ds.StudyDescription = "DIGITAL TORSO PHANTOM"
