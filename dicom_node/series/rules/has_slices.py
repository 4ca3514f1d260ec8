"""The series holds CT slices; what else is in it is set aside."""

from collections import Counter
from typing import Any

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.problem import Problem

#: Why there is no slice, by what most instances are (`dicom_node.series.instances.kind_of`).
_NO_SLICES = {
    problem.code: problem
    for problem in (
        Problem(
            "multi_frame",
            "The series is an enhanced multi-frame CT that does not say where each of its frames lies.",
            "Have the sender convert enhanced multi-frame CT to single-frame CT.",
        ),
        Problem(
            "secondary_capture",
            "The series holds screen captures or other secondary captures, not CT slices.",
            "Route only the axial non-contrast series to this AE title.",
        ),
        Problem("not_ct", "The series holds no CT images.", "Route only CT series to this AE title."),
        Problem(
            "localizer",
            "The series holds localizers (scouts, topograms) only.",
            "Route only the axial non-contrast series to this AE title.",
        ),
        Problem(
            "derived_map",
            "The series holds maps or projections (perfusion, MIP and the like), whose values are not Hounsfield "
            "units.",
            "Send the original slices.",
        ),
    )
}


class HasSlices:
    """Refuses a series without a slice, and says what it is instead."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        if not series.slices:
            return Finding(problem=_NO_SLICES[Counter(series.kinds).most_common(1)[0][0]])
        details: dict[str, Any] = {"slices": len(series.slices)}
        if series.set_aside:
            details["set_aside"] = dict(Counter(kind for kind, _ in series.set_aside))
        return Finding(details=details)
