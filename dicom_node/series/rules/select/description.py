"""The series is described as the route selects."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from dicom_node.series.rules.select.values import select_by_texts


class SelectedDescription:
    """Refuses a series with a slice whose Series Description does not match the route's ``select.description``.

    What it says stays out of the record: it is free text.
    """

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        return select_by_texts(
            series,
            series.route.select.description,
            criterion="description",
            keyword="SeriesDescription",
            title="Series Description",
            free_text=True,
        )
