"""CT Image Storage, DERIVED (PS3.3 A.3): for readers that drop the geometry of Secondary Capture.

To hanging protocols such a series looks much like an acquisition, which is why it is not the default.
"""

import numpy as np
from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicom_node.derive import attributes
from dicom_node.derive.equipment import MANUFACTURER
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.pixels import StoredScale
from dicom_node.derive.verbatim import copy_decimals, copy_verbatim, set_empty_if_absent


def ct_image(
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
    """One slice as a derived CT instance; parameters as for ``secondary_capture``."""
    number = attributes.instance_number(source, index=index)
    image = SOPClass(
        study_instance_uid=str(source.StudyInstanceUID),
        series_instance_uid=series_instance_uid,
        series_number=attributes.series_number(source, info=info),
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=CTImageStorage,
        instance_number=max(1, number),
        modality="CT",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    image.InstanceNumber = number
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = stored.shape
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 0
    image.add_new("PixelData", "OW", np.ascontiguousarray(stored, dtype="<u2").tobytes())
    attributes.complete_identity(image, source, frame_of_reference_uid=frame_of_reference_uid)
    attributes.complete_series(image, source, info=info)
    attributes.complete_derivation(image, source, info=info, kind=kind)
    attributes.complete_plane(image, source)
    attributes.complete_grey_scale(image, scale=scale, info=info)
    # CT Image (C.8.2.1): KVP and Acquisition Number are type 2. The number stays empty: one acquisition did not
    # make these images, and viewers split a series where it varies.
    copy_decimals(source, image, ["KVP"])
    copy_verbatim(source, image, ["ConvolutionKernel"])
    set_empty_if_absent(image, ["KVP", "AcquisitionNumber"])
    return image
