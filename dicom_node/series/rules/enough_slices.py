"""The series has as many slices as the route asks for."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.problem import Problem


class EnoughSlices:
    """Refuses a series with fewer slices than the route or its model needs (``min_slices``)."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        count = len(series.slices)
        if count >= series.min_slices:
            return Finding()
        number = "1 slice" if count == 1 else f"{count} slices"
        return Finding(
            problem=Problem(
                "too_few_slices",
                f"The series has {number}; the route needs at least {series.min_slices}.",
                "Send the whole series, or lower min_slices.",
            )
        )
