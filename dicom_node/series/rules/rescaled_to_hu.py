"""The slices' values are Hounsfield units."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.errors import VolumeError
from s2ldm_core.io.hounsfield import hu_rescale


class RescaledToHU:
    """Refuses slices whose rescale does not lead to HU; see `s2ldm_core.io.hounsfield.hu_rescale`."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        try:
            for header in series.slice_headers:
                hu_rescale(header)
        except VolumeError as error:
            return Finding(problem=error.problem)
        return Finding()
