"""``sc``: Secondary Capture Image Storage with plane, frame of reference and HU (PS3.3 A.8.1): the default output."""

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.derive import attributes
from dicom_node.derive.forms.slices import SliceForm
from dicom_node.derive.info import DerivationInfo


class SecondaryCapture(SliceForm):
    """Secondary Capture, which says by its class that no scanner made it."""

    name = "sc"
    sop_class_uid = SecondaryCaptureImageStorage

    def complete(self, image: Dataset, source: Dataset, *, info: DerivationInfo) -> None:
        """SC Equipment and SC Image."""
        attributes.complete_secondary_capture(image, source, info=info)
