"""Multi-frame Grayscale Word Secondary Capture Image Storage with functional groups (PS3.3 A.8.4): one instance."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameGrayscaleWordSecondaryCaptureImageStorage

from dicom_node.derive import attributes
from dicom_node.derive.equipment import MANUFACTURER
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.pixels import StoredScale
from dicom_node.derive.references import source_image
from dicom_node.derive.verbatim import copy_decimals, set_empty_if_absent

_SLICE_LOCATION_VECTOR = 0x00182005


def multiframe_secondary_capture(
    sources: Sequence[Dataset],
    pixels: BinaryIO,
    *,
    shape: tuple[int, int],
    scale: StoredScale,
    info: DerivationInfo,
    kind: list[str],
    series_instance_uid: str,
    sop_instance_uid: str,
    frame_of_reference_uid: str,
) -> Dataset:
    """A whole series as one instance.

    Parameters
    ----------
    sources
        Headers of the source slices, in the order of the frames.
    pixels
        Open file with all frames' stored values, little-endian uint16, from its current position; it must stay open
        until the instance is written, so that a long series needs no second copy in memory.
    shape
        (rows, columns).
    """
    first = sources[0]
    image = SOPClass(
        study_instance_uid=str(first.StudyInstanceUID),
        series_instance_uid=series_instance_uid,
        series_number=attributes.series_number(first, info=info),
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        instance_number=1,
        modality="CT",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    attributes.complete_identity(image, first, frame_of_reference_uid=frame_of_reference_uid)
    attributes.complete_series(image, first, info=info)
    attributes.complete_derivation(image, first, info=info, kind=kind)
    attributes.complete_grey_scale(image, scale=scale, info=info)
    attributes.complete_secondary_capture(image, first, info=info)
    # At the root, in the order of the frames: a Derivation Image group per frame would need a derivation code, and
    # CID 7203 has none that fits.
    image.SourceImageSequence = [source_image(source) for source in sources]
    image.PatientOrientation = attributes.patient_orientation(first)
    image.PresentationLUTShape = "IDENTITY"  # C.8.6.3
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = shape
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 0
    image.NumberOfFrames = len(sources)
    positions = [_along_normal(source) for source in sources]
    image.FrameIncrementPointer = Tag(_SLICE_LOCATION_VECTOR)  # C.7.6.6
    image.SliceLocationVector = [f"{position:.9g}"[:16] for position in positions]
    image.SharedFunctionalGroupsSequence = [_shared_groups(first)]
    image.PerFrameFunctionalGroupsSequence = [_frame_groups(source) for source in sources]
    image.add_new("PixelData", "OW", pixels)
    return image


def _along_normal(source: Dataset) -> float:
    """Position of a slice along its normal, in mm."""
    row, column = np.array([float(value) for value in source.ImageOrientationPatient]).reshape(2, 3)
    return float(np.dot(np.cross(row, column), [float(value) for value in source.ImagePositionPatient]))


def _shared_groups(source: Dataset) -> Dataset:
    """Pixel Measures (C.7.6.16.2.1) and Plane Orientation (C.7.6.16.2.4), the same for every frame."""
    measures = Dataset()
    copy_decimals(source, measures, ["PixelSpacing", "SliceThickness", "SpacingBetweenSlices"])
    set_empty_if_absent(measures, ["SliceThickness"])
    orientation = Dataset()
    copy_decimals(source, orientation, ["ImageOrientationPatient"])
    groups = Dataset()
    groups.PixelMeasuresSequence = [measures]
    groups.PlaneOrientationSequence = [orientation]
    return groups


def _frame_groups(source: Dataset) -> Dataset:
    """Plane Position (C.7.6.16.2.3) of one frame."""
    position = Dataset()
    copy_decimals(source, position, ["ImagePositionPatient"])
    groups = Dataset()
    groups.PlanePositionSequence = [position]
    return groups
