"""Rules of selection: for which reasons a series is refused, one file each.

A new one: its file, and its line in `RULES` (``docs/add-a-selection-rule.md``).
"""

from dicom_node.series.rules.anatomy import Anatomy
from dicom_node.series.rules.enhanced_by_hu import NotEnhancedByHU
from dicom_node.series.rules.enhanced_by_tags import NotEnhancedByTags
from dicom_node.series.rules.enough_slices import EnoughSlices
from dicom_node.series.rules.has_slices import HasSlices
from dicom_node.series.rules.hounsfield_units import HounsfieldUnits
from dicom_node.series.rules.one_acquisition import OneAcquisition
from dicom_node.series.rules.one_patient import OnePatient
from dicom_node.series.rules.readable import Readable
from dicom_node.series.rules.regular_stack import RegularStack
from dicom_node.series.rules.rescaled_to_hu import RescaledToHU
from dicom_node.series.rules.rule import Finding, Rule
from dicom_node.series.rules.select import (
    SelectedBodyPart,
    SelectedCoverage,
    SelectedDescription,
    SelectedImageType,
    SelectedKernel,
    SelectedManufacturer,
    SelectedOrientation,
    SelectedSliceThickness,
)
from dicom_node.series.rules.source_header import SourceHeader
from dicom_node.series.rules.synthetic import NotSynthetic
from dicom_node.series.rules.unique_instances import UniqueInstances

#: In the order in which they are asked; the first objection is the answer. A rule counts on those before it.
RULES: tuple[Rule, ...] = (
    Readable(),
    UniqueInstances(),
    NotSynthetic(),
    HasSlices(),
    SelectedOrientation(),
    SelectedBodyPart(),
    SelectedDescription(),
    SelectedManufacturer(),
    SelectedImageType(),
    SelectedKernel(),
    SelectedSliceThickness(),
    NotEnhancedByTags(),
    RescaledToHU(),
    OnePatient(),
    EnoughSlices(),
    OneAcquisition(),
    RegularStack(),
    SelectedCoverage(),
    SourceHeader(),
    HounsfieldUnits(),
    Anatomy(),
    NotEnhancedByHU(),
)

__all__ = ["RULES", "Finding", "OneAcquisition", "OnePatient", "Rule", "SourceHeader", "UniqueInstances"]
