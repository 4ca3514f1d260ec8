"""Every image has a SOP Instance UID of its own."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.problem import Problem


class UniqueInstances:
    """Refuses a series in which two different images came under one SOP Instance UID (PS3.3 C.12.1): one is lost."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        count = series.conflicts
        if not count:
            return Finding()
        came = "1 image came" if count == 1 else f"{count} images came"
        return Finding(
            problem=Problem(
                "conflicting_instances",
                f"{came} under the SOP Instance UID of another, different image of the series, so slices would be lost.",
                "Have each image exported with a SOP Instance UID of its own and send them as a new series, or send the "
                "whole series once more without the images that were not taken.",
            )
        )
