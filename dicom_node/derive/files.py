"""Derived instances as files."""

from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.catalog import DerivedInstance
from dicom_node.derive.equipment import IMPLEMENTATION_VERSION_NAME
from dicom_node.derive.uids import IMPLEMENTATION_CLASS_UID
from dicom_node.derive.verbatim import keep_encoding
from dicom_node.private import FILE_MODE
from s2ldm_core.files import atomic_file


def write_part10(dataset: Dataset, path: Path) -> DerivedInstance:
    """Write a complete instance as a DICOM file (PS3.10 7.1), in our implementation's name; returns its record."""
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    keep_encoding(dataset)
    with atomic_file(path, mode=FILE_MODE) as file:
        dataset.save_as(file, enforce_file_format=True)
    return DerivedInstance(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        path=path.absolute(),
    )
