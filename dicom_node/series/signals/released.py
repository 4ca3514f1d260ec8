"""``released``: the associations that sent the series have ended, and nothing has come for a while."""

from datetime import datetime, timedelta

from dicom_node.catalog import Evidence
from dicom_node.config import SeriesSettings


class Released:
    """No association that sent instances of the series is open, and none has arrived for ``quiet_seconds``."""

    name = "released"

    def holds(self, evidence: Evidence, now: datetime, settings: SeriesSettings) -> bool:
        """See `dicom_node.series.signals.Signal`."""
        quiet_since = now - timedelta(seconds=settings.quiet_seconds)
        return evidence.open_associations == 0 and evidence.series.last_received_at <= quiet_since
