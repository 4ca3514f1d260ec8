"""Where derived series go: kinds of destinations, one file each.

A new one: its file, and its line in `DESTINATIONS` (``docs/add-a-destination.md``). The configuration imports these
files whenever a command starts, so they import what is heavy only where it is used.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from dicom_node.deliver.destinations.destination import (
    Answer,
    Carrier,
    Committer,
    Destination,
    DestinationSettings,
    ImageCounter,
    ImageFetcher,
)
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.deliver.destinations.folder import FolderSettings
from dicom_node.deliver.destinations.stow import StowSettings
from dicom_node.section import Section, kind_in

#: By the ``type`` that configurations name.
DESTINATIONS: dict[str, type[DestinationSettings]] = {
    "dicom": DicomSettings,
    "folder": FolderSettings,
    "stow": StowSettings,
}


class _Kind(Section):
    type: Annotated[str, kind_in(DESTINATIONS)] = "dicom"


def _kind_of(values: Mapping[str, Any]) -> type[DestinationSettings]:
    """What a destination's keys are to be validated as; pydantic's errors if its ``type`` is not known."""
    return DESTINATIONS[_Kind.model_validate({key: values[key] for key in values if key == "type"}).type]


DestinationSettings.kind_of = staticmethod(_kind_of)

__all__ = [
    "DESTINATIONS",
    "Answer",
    "Carrier",
    "Committer",
    "Destination",
    "DestinationSettings",
    "ImageCounter",
    "ImageFetcher",
]
