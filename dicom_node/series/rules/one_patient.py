"""All images are of one patient and one study."""

from collections.abc import Callable

from pydicom import Dataset

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.io.header import text
from s2ldm_core.problem import Problem


class OnePatient:
    """Refuses images of several patients or studies under one Series Instance UID (PS3.3 A.1.2). Empty values say nothing.

    The values themselves stay out of sentence and details.
    """

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        counts = {name: _count(series.slice_headers, value) for name, value in _IDENTITIES.items()}
        mixed = [f"{count} {name}" for name, count in counts.items() if count > 1]
        if not mixed:
            return Finding()
        return Finding(
            problem=Problem(
                "mixed_patients",
                f"The images of this one series have {', '.join(mixed)}.",
                "Correct the patient and study of these images at the sender, and send each patient's as its own series.",
            )
        )


def _name(header: Dataset) -> str:
    """Patient's Name without the differences in writing that PS3.5 6.2 calls none: case, empty components, spaces."""
    groups = text(header, "PatientName").casefold().split("=")
    return next((name for group in groups if (name := " ".join(group.replace("^", " ").split()))), "")


_IDENTITIES: dict[str, Callable[[Dataset], str]] = {
    "Patient IDs": lambda header: text(header, "PatientID"),
    "patient names": _name,
    "Study Instance UIDs": lambda header: text(header, "StudyInstanceUID"),
}


def _count(headers: tuple[Dataset, ...], value: Callable[[Dataset], str]) -> int:
    return len({value(header) for header in headers} - {""})
