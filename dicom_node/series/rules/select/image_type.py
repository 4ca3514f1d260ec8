"""The slices are of an Image Type that the route selects."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from dicom_node.series.rules.select.values import select_by_texts


class SelectedImageType:
    """Refuses a series with a slice whose Image Type does not match the route's ``select.image_type``.

    One of its values must match (PS3.3 C.7.6.1.1.2).
    """

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        return select_by_texts(
            series, series.route.select.image_type, criterion="image_type", keyword="ImageType", title="Image Type"
        )
