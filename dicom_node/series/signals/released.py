"""``released``: the associations that sent the series have ended in order, and nothing has come for a while."""

from dicom_node.catalog import Evidence
from dicom_node.config import SeriesSettings


class Released:
    """No association that sent instances of the series is open, and none has arrived for ``quiet_seconds``.

    Where the last one was aborted or lost, the sender may come again with the rest: that is no sign of completeness
    (PS3.8 7.3), and `Quiet` decides.
    """

    name = "released"

    def holds(self, evidence: Evidence, settings: SeriesSettings) -> bool:
        """See `dicom_node.series.signals.Signal`."""
        ended = evidence.open_associations == 0 and not evidence.broken_off
        return ended and evidence.silent_seconds >= settings.quiet_seconds
