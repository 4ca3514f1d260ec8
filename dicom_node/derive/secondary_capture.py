"""Secondary Capture Image Storage with plane, frame of reference and HU (PS3.3 A.8.1): the default output."""

import numpy as np
from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.derive import attributes
from dicom_node.derive.equipment import MANUFACTURER
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.pixels import StoredScale


def secondary_capture(
    source: Dataset,
    stored: np.ndarray,
    *,
    scale: StoredScale,
    info: DerivationInfo,
    kind: list[str],
    series_instance_uid: str,
    sop_instance_uid: str,
    frame_of_reference_uid: str,
    index: int,
) -> Dataset:
    """One slice as a Secondary Capture instance.

    Parameters
    ----------
    source
        The source slice's header.
    stored
        ``(H, W)`` uint16 stored values.
    kind
        Image Type, constant over the series.
    index
        Place of the slice in the series, from 0.
    """
    number = attributes.instance_number(source, index=index)
    # Names and identifiers are set afterwards as the source's bytes: highdicom would decode them, and logs odd names.
    image = SCImage(
        pixel_array=stored,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=16,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=str(source.StudyInstanceUID),
        series_instance_uid=series_instance_uid,
        series_number=attributes.series_number(source, info=info),
        sop_instance_uid=sop_instance_uid,
        instance_number=max(1, number),
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    image["PixelData"].VR = "OW"  # 16 bit samples (PS3.5 8.2)
    image.InstanceNumber = number
    attributes.complete_identity(image, source, frame_of_reference_uid=frame_of_reference_uid)
    attributes.complete_series(image, source, info=info)
    attributes.complete_derivation(image, source, info=info, kind=kind)
    attributes.complete_plane(image, source)
    attributes.complete_grey_scale(image, scale=scale, info=info)
    attributes.complete_secondary_capture(image, source, info=info)
    return image
