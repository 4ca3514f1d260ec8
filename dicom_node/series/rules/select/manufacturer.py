"""The slices come from a scanner of a manufacturer that the route selects."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from dicom_node.series.rules.select.values import select_by_texts


class SelectedManufacturer:
    """Refuses a series with a slice whose Manufacturer does not match the route's ``select.manufacturer``."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        return select_by_texts(
            series,
            series.route.select.manufacturer,
            criterion="manufacturer",
            keyword="Manufacturer",
            title="Manufacturer",
        )
