"""What the images of every form share."""

from typing import BinaryIO

from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.derive import attributes, uids
from dicom_node.derive.equipment import MANUFACTURER
from dicom_node.derive.forms.form import SyntheticSeries


def derived_image(
    series: SyntheticSeries,
    source: Dataset,
    *,
    sop_class_uid: UID,
    stands_on: str,
    instance_number: int,
    pixels: bytes | BinaryIO,
) -> Dataset:
    """An instance with everything that its form does not decide: identity, derivation, grey scale and pixels.

    Parameters
    ----------
    source
        The source slice whose patient, study, series and geometry are copied.
    stands_on
        SOP Instance UID of the source slice, or ``all``; the new UID is made of it.
    pixels
        Stored values, little-endian uint16; a file must stay open until the instance is written.
    """
    # Names and identifiers are set afterwards as the source's bytes: highdicom would decode them, and logs odd names.
    image = SOPClass(
        study_instance_uid=str(source.StudyInstanceUID),
        series_instance_uid=series.series_instance_uid,
        series_number=attributes.series_number(source, info=series.info),
        sop_instance_uid=str(uids.sop_instance_uid(series.series_instance_uid, stands_on)),
        sop_class_uid=sop_class_uid,
        instance_number=max(1, instance_number),
        modality="CT",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    image.InstanceNumber = instance_number
    attributes.complete_identity(image, source, frame_of_reference_uid=series.frame_of_reference_uid)
    attributes.complete_series(image, source, info=series.info)
    attributes.complete_derivation(image, source, info=series.info, kind=series.image_type, mark=series.mark)
    attributes.complete_grey_scale(image, scale=series.scale, info=series.info, window_hu=series.window_hu)
    # Image Pixel (C.7.6.3)
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = series.hu.shape[1:]
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 0
    image.add_new("PixelData", "OW", pixels)  # 16 bit samples (PS3.5 8.2)
    return image
