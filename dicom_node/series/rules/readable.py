"""Every instance can be read, and there is one."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.problem import Problem


class Readable:
    """Refuses a series with files that are damaged or not DICOM: a volume with holes is not translated."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        readable, unreadable = len(series.read.paths), len(series.read.unreadable)
        if unreadable:
            return Finding(
                problem=Problem(
                    "unreadable_instances",
                    f"{unreadable} of {unreadable + readable} objects cannot be read as DICOM.",
                    "A volume with holes is not translated: send the series again.",
                )
            )
        if not readable:
            return Finding(problem=Problem("no_images", "The series holds no objects.", "Send the series again."))
        return Finding()
