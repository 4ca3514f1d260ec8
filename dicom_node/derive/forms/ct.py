"""``ct``: CT Image Storage, DERIVED (PS3.3 A.3), for readers that drop the geometry of Secondary Capture.

To hanging protocols such a series looks much like an acquisition, which is why it is not the default.
"""

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from dicom_node.derive.forms.slices import SliceForm
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.verbatim import copy_decimals, copy_verbatim, set_empty_if_absent


class CTImage(SliceForm):
    """Derived CT images."""

    name = "ct"
    sop_class_uid = CTImageStorage

    def complete(self, image: Dataset, source: Dataset, *, info: DerivationInfo) -> None:
        """CT Image (C.8.2.1), where KVP and Acquisition Number are type 2.

        The number stays empty: one acquisition did not make these images, and viewers split a series where it varies.
        """
        copy_decimals(source, image, ["KVP"])
        copy_verbatim(source, image, ["ConvolutionKernel"])
        set_empty_if_absent(image, ["KVP", "AcquisitionNumber"])
