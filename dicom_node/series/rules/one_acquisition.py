"""The slices are of one acquisition and one reconstruction, or of such that lie one behind the other."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.errors import GeometryError
from s2ldm_core.geometry import positions_along_normal
from s2ldm_core.io.header import texts
from s2ldm_core.problem import Problem

_ATTRIBUTES = {
    "KVP": "KVP (tube voltage)",
    "ConvolutionKernel": "Convolution Kernel",
    "AcquisitionNumber": "Acquisition Number",
}
# Two images of the same place are a matter of their own: see `dicom_node.series.rules.regular_stack`.
_SAME_PLACE_MM = 0.01


class OneAcquisition:
    """Refuses slices of two acquisitions or reconstructions that alternate, as when two series were merged into one.

    Parts that lie one behind the other pass: an abdomen behind a chest, a scan that went on. So does a second value
    in one place only, as where one slice was scanned again.
    """

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        try:
            along = positions_along_normal(series.slice_headers)
        except GeometryError:  # the rule behind says why
            return Finding()
        order = np.argsort(along, kind="stable")
        if len(along) < 2 or np.diff(along[order]).min() < _SAME_PLACE_MM:
            return Finding()
        headers = [series.slice_headers[index] for index in order]
        for keyword, name in _ATTRIBUTES.items():
            values = [value for header in headers if (value := "\\".join(texts(header, keyword)))]
            if _alternate(values):
                counts = ", ".join(f"{value} ({count})" for value, count in Counter(values).most_common(3))
                return Finding(
                    problem=Problem(
                        "mixed_acquisitions",
                        f"Slices of several acquisitions or reconstructions alternate along the stack: {name} is {counts}.",
                        "Send one acquisition and one reconstruction per series.",
                    )
                )
        return Finding()


def _alternate(values: Sequence[str]) -> bool:
    """Whether two values both occur in several places, each with the other between."""
    runs = Counter(value for value, _ in groupby(values))
    return sum(count > 1 for count in runs.values()) > 1
