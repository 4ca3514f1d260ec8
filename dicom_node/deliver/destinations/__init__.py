"""Where derived series go: kinds of destinations, one file each.

A new one: its file, and its line in `DESTINATIONS` (``docs/add-a-destination.md``). The configuration imports these
files whenever a command starts, so they import what is heavy only where it is used.
"""

from dicom_node.deliver.destinations.destination import Answer, Destination, DestinationSettings
from dicom_node.deliver.destinations.dicom import DicomSettings

#: By the ``type`` that configurations name.
DESTINATIONS: dict[str, type[DestinationSettings]] = {
    "dicom": DicomSettings,
}

__all__ = ["DESTINATIONS", "Answer", "Destination", "DestinationSettings"]
