"""The slices were reconstructed with a kernel that the route selects."""

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from dicom_node.series.rules.select.values import select_by_texts


class SelectedKernel:
    """Refuses a series with a slice whose Convolution Kernel does not match the route's ``select.kernel``."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        return select_by_texts(
            series,
            series.route.select.kernel,
            criterion="kernel",
            keyword="ConvolutionKernel",
            title="Convolution Kernel",
        )
