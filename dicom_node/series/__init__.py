"""Series: when one is complete, and whether it is for its route."""

from dicom_node.series.completion import CompletionStep
from dicom_node.series.decision import Decision
from dicom_node.series.examiner import Examiner
from dicom_node.series.selection import examine_series
from dicom_node.series.step import SelectStep

__all__ = ["CompletionStep", "Decision", "Examiner", "SelectStep", "examine_series"]
