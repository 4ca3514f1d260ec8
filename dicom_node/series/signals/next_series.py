"""``next_series``: the sender has gone on to a later series of the study."""

from dicom_node.catalog import Evidence
from dicom_node.config import SeriesSettings


class NextSeries:
    """Behind the last image of the series came those of another one of the study from the same sender, and then quiet.

    An association that carries one series after the other then need not be waited for. Senders that mix series are told
    by their order, and by ``quiet_seconds``; a stack with a gap, or a sender that broke off, waits for `Quiet`.
    """

    name = "next_series"

    def holds(self, evidence: Evidence, settings: SeriesSettings) -> bool:
        """See `dicom_node.series.signals.Signal`."""
        gone_on = evidence.followed and not evidence.broken_off and evidence.stack not in (None, "gap")
        return gone_on and evidence.silent_seconds >= settings.quiet_seconds
