"""``dicom``: C-STORE to a peer (PS3.4 B), the default kind."""

from dicom_node.deliver.destinations.dicom.destination import DicomDestination, DicomSettings

__all__ = ["DicomDestination", "DicomSettings"]
