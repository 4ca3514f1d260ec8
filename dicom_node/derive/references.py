"""Which source image a derived image stands on: Source Image Sequence (0008,2112), PS3.3 C.7.6.1.1.4."""

from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.derive.verbatim import text_of
from s2ldm_core.io.frames import frame_number


def source_image(source: Dataset) -> Dataset:
    """One Source Image Sequence item: the slice at the same position in the same frame of reference."""
    item = Dataset()
    item.ReferencedSOPClassUID = text_of(source, "SOPClassUID")
    item.ReferencedSOPInstanceUID = text_of(source, "SOPInstanceUID")
    if (frame := frame_number(source)) is not None:  # PS3.3 Table 10-3
        item.ReferencedFrameNumber = frame
    item.SpatialLocationsPreserved = "YES"
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)]
    return item
