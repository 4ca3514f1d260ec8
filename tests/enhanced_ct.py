"""An Enhanced CT Image (PS3.3 A.38) out of single slices: one multi-frame instance with functional groups."""

from collections.abc import Sequence

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

_IDENTITY = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "PatientPosition",
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


def enhanced_ct(
    slices: Sequence[Dataset], *, frame_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
) -> Dataset:
    """One instance of these slices, in their order; what differs from frame to frame stands with the frame."""
    first = slices[0]
    image = Dataset()
    for keyword in _IDENTITY:
        if keyword in first:
            setattr(image, keyword, getattr(first, keyword))
    image.SOPClassUID, image.SOPInstanceUID = EnhancedCTImageStorage, generate_uid()
    image.SeriesInstanceUID = generate_uid()
    image.Modality, image.ImageType = "CT", list(frame_type)
    image.SeriesNumber, image.InstanceNumber = 4, 1
    image.VolumetricProperties, image.VolumeBasedCalculationTechnique, image.PixelPresentation = (
        "VOLUME",
        "NONE",
        "MONOCHROME",
    )
    image.NumberOfFrames = len(slices)
    image.SharedFunctionalGroupsSequence = [_shared(first, frame_type)]
    image.PerFrameFunctionalGroupsSequence = [_of_frame(one, index) for index, one in enumerate(slices)]
    image.PixelData = np.stack([one.pixel_array for one in slices]).tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def _item(source: Dataset, *keywords: str, **values: object) -> list[Dataset]:
    item = Dataset()
    for keyword in keywords:
        if keyword in source:
            setattr(item, keyword, getattr(source, keyword))
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return [item]


def _shared(first: Dataset, frame_type: Sequence[str]) -> Dataset:
    groups = Dataset()
    groups.PixelMeasuresSequence = _item(first, "PixelSpacing", "SliceThickness", "SpacingBetweenSlices")
    groups.PlaneOrientationSequence = _item(first, "ImageOrientationPatient")
    groups.CTImageFrameTypeSequence = _item(
        first,
        FrameType=list(frame_type),
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
    )
    groups.CTReconstructionSequence = _item(first, "ConvolutionKernel")
    groups.FrameVOILUTSequence = _item(first, WindowCenter="40", WindowWidth="400")
    return groups


def _of_frame(one: Dataset, index: int) -> Dataset:
    groups = Dataset()
    groups.FrameContentSequence = _item(one, StackID="1", InStackPositionNumber=index + 1, FrameAcquisitionNumber=1)
    groups.PlanePositionSequence = _item(one, "ImagePositionPatient")
    groups.PixelValueTransformationSequence = _item(one, "RescaleIntercept", "RescaleSlope", RescaleType="HU")
    groups.CTXRayDetailsSequence = _item(one, "KVP")
    return groups
