"""The slices form a stack (PS3.3 C.7.6.2), a regular and untilted one unless the route takes others."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.errors import GeometryError


class RegularStack:
    """Refuses what is no stack; see `s2ldm_core.geometry.series_geometry`. The rules behind may use the geometry."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        try:
            geometry = series.geometry
        except GeometryError as error:
            return Finding(problem=error.problem)
        details: dict[str, object] = {"spacing_mm": [round(one, 3) for one in geometry.spacing_mm]}
        if geometry.offsets is not None:
            details["resampled"] = True
        return Finding(details=details)
