"""The step after translation: synthetic HU and the source's headers become a derived series, ready to be sent."""

from dicom_node.derive.info import DerivationInfo, OutputForm
from dicom_node.derive.series import DerivedSeries, write_derived_series
from dicom_node.derive.step import DeriveStep

__all__ = ["DerivationInfo", "DeriveStep", "DerivedSeries", "OutputForm", "write_derived_series"]
