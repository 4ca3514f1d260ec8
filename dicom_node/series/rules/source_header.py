"""The headers hold what a derived object cannot do without."""

from collections import Counter

from pydicom import Dataset

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from dicom_node.source_header import incomplete
from s2ldm_core.io.header import sop_instance_uid, text
from s2ldm_core.problem import Problem


class SourceHeader:
    """Refuses slices of which no derived object could be written; see `dicom_node.source_header`."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        headers = series.slice_headers
        faults = [incomplete(header) for header in headers]
        count = Counter((keyword, fault) for one in faults for keyword, fault in one.items())
        if not count:
            return Finding()
        (keyword, fault), number = count.most_common(1)[0]
        first = next(header for header, one in zip(headers, faults, strict=True) if one.get(keyword) == fault)
        return Finding(
            problem=Problem(
                "source_header_incomplete",
                f"{keyword} is {fault} in {number} of {len(headers)} images, the first of them {_named(first)}.",
                "Send the series from the scanner or archive that holds it complete.",
            )
        )


def _named(header: Dataset) -> str:
    """An image by what the sender can find it by, never by our own file's name."""
    if number := text(header, "InstanceNumber"):
        return f"Instance Number {number}"
    return f"SOP Instance UID {uid}" if (uid := sop_instance_uid(header)) else "without a number"
