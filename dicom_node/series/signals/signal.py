"""What every completion signal offers."""

from typing import Protocol

from dicom_node.catalog import Evidence
from dicom_node.config import SeriesSettings


class Signal(Protocol):
    """One way to know that a series is complete."""

    @property
    def name(self) -> str:
        """What the record calls it, at most 32 characters."""

    def holds(self, evidence: Evidence, settings: SeriesSettings) -> bool:
        """Whether the evidence says that the series is complete. Asked again and again until one signal holds.

        How long nothing has come is ``evidence.silent_seconds``: times of day may be stepped, and say nothing.
        """
