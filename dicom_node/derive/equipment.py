"""Who made the images: Contributing Equipment Sequence (0018,A001), PS3.3 C.12.1.1.5, and our own name."""

import copy

from highdicom import ContributingEquipment
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.verbatim import copy_verbatim, keep_encoding, text_of

MANUFACTURER = "S2LDM Node"
IMPLEMENTATION_VERSION_NAME = "S2LDM_NODE"

_ACQUISITION_KEYWORDS = (
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DateOfLastCalibration",
    "TimeOfLastCalibration",
)


def contributing_equipment(source: Dataset, *, info: DerivationInfo) -> list[Dataset]:
    """Items for Contributing Equipment Sequence: what the source already lists, its scanner, our model."""
    listed = [copy.deepcopy(item) for item in source.get("ContributingEquipmentSequence", None) or []]
    return [*listed, acquisition_equipment(source), synthesizing_equipment(info)]


def acquisition_equipment(source: Dataset) -> Dataset:
    """(109101, DCM, "Acquisition Equipment"): the source's scanner, as far as its header tells."""
    # Manufacturer is type 1 here but type 2 in the source (PS3.3 C.7.5.1).
    item = ContributingEquipment(
        manufacturer="UNKNOWN",
        purpose_of_reference=codes.DCM.AcquisitionEquipment,
        contribution_description="Acquisition of the non-contrast source images",
    )
    present = [keyword for keyword in _ACQUISITION_KEYWORDS if text_of(source, keyword)]
    copy_verbatim(source, item, present)
    keep_encoding(item)
    return item


def synthesizing_equipment(info: DerivationInfo) -> Dataset:
    """(109100, DCM, "Synthesizing Equipment"): the model, its version, ours, and the weights' checksum."""
    return ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=codes.DCM.SynthesizingEquipment,
        manufacturer_model_name=info.translation.model[:64],
        software_versions=_software_versions(info),
        contribution_datetime=info.created_at.replace(microsecond=0),
        contribution_description=info.contribution,
    )


def set_own_equipment(target: Dataset, *, info: DerivationInfo) -> None:
    """General Equipment (PS3.3 C.7.5.1): the images are ours; the scanner is named as contributing."""
    target.Manufacturer = MANUFACTURER
    target.ManufacturerModelName = info.translation.model[:64]
    target.SoftwareVersions = _software_versions(info)


def _software_versions(info: DerivationInfo) -> list[str]:
    """This node, the weights' checksum, the model."""
    # The checksum fills all 64 characters of a LO; last in the list, a padding space would seem to make it longer.
    return [
        f"s2ldm-node {info.software_version}"[:64],
        info.translation.weights_sha256[:64],
        info.translation.model[:64],
    ]
