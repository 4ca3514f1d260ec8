"""The slices are as thick as the route selects."""

from pydicom import Dataset

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from dicom_node.series.rules.select.values import select_by, within
from s2ldm_core.io.header import text


class SelectedSliceThickness:
    """Refuses a series with a slice whose Slice Thickness is missing or not in the route's ``select.slice_thickness_mm``."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        limits = series.route.select.slice_thickness_mm
        return select_by(
            [_thickness_mm(header) for header in series.slice_headers],
            lambda value: limits is None or (value is not None and within(value, limits)),
            asked=limits is not None,
            criterion="slice_thickness_mm",
            title="Slice Thickness in mm",
            say=lambda value: "" if value is None else f"{value:g}",
        )


def _thickness_mm(header: Dataset) -> float | None:
    try:
        return float(text(header, "SliceThickness"))
    except ValueError:
        return None
