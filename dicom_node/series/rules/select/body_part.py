"""The slices show a part of the body that the route selects, as their tags say."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from dicom_node.series.rules.select.values import select_by_texts


class SelectedBodyPart:
    """Refuses a series with a slice whose Body Part Examined does not match the route's ``select.body_part``."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        return select_by_texts(
            series,
            series.route.select.body_part,
            criterion="body_part",
            keyword="BodyPartExamined",
            title="Body Part Examined",
        )
