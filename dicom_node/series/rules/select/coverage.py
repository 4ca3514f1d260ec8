"""The stack is as long as the route selects."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from dicom_node.series.rules.select.values import within
from s2ldm_core.problem import Problem


class SelectedCoverage:
    """Refuses a stack whose length, slices times their distance, is not in the route's ``select.coverage_mm``."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        limits = series.route.select.coverage_mm
        coverage_mm = len(series.geometry.order) * series.geometry.spacing_mm[0]
        seen = {"coverage_mm": round(coverage_mm, 1)}
        if limits is None:
            return Finding(seen=seen)
        details = {"select_coverage_mm": seen["coverage_mm"]}
        if within(coverage_mm, limits):
            return Finding(seen=seen, details=details)
        return Finding(
            problem=Problem(
                "not_selected",
                f"The route does not select a stack of {coverage_mm:.0f} mm.",
                "Nothing to do if the route is not for such series; else change its select.coverage_mm and retry the job.",
            ),
            seen=seen,
            details=details,
        )
