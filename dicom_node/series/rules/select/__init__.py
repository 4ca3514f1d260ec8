"""``routes.*.select``: for which series a route is, one criterion a file."""

from dicom_node.series.rules.select.body_part import SelectedBodyPart
from dicom_node.series.rules.select.coverage import SelectedCoverage
from dicom_node.series.rules.select.description import SelectedDescription
from dicom_node.series.rules.select.image_type import SelectedImageType
from dicom_node.series.rules.select.kernel import SelectedKernel
from dicom_node.series.rules.select.manufacturer import SelectedManufacturer
from dicom_node.series.rules.select.orientation import SelectedOrientation
from dicom_node.series.rules.select.slice_thickness import SelectedSliceThickness

__all__ = [
    "SelectedBodyPart",
    "SelectedCoverage",
    "SelectedDescription",
    "SelectedImageType",
    "SelectedKernel",
    "SelectedManufacturer",
    "SelectedOrientation",
    "SelectedSliceThickness",
]
