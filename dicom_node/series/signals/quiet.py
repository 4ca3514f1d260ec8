"""``quiet``: an association is still open, or was broken off, and nothing of the series has come for long."""

from dicom_node.catalog import Evidence
from dicom_node.config import SeriesSettings


class Quiet:
    """Nothing of the series has arrived for ``open_association_seconds``: some senders keep associations for hours."""

    name = "quiet"

    def holds(self, evidence: Evidence, settings: SeriesSettings) -> bool:
        """See `dicom_node.series.signals.Signal`."""
        return evidence.silent_seconds >= max(settings.open_association_seconds, settings.quiet_seconds)
